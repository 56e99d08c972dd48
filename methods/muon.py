from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class Muon(Method, name="muon", source="arXiv 2502.16982 (Moonlight); pytorch-optimizer", evidence="published"):
    """Muon: momentum made orthogonal for the matrices inside the network, filters seen as [out, the rest]; AdamW for
    embeddings, the last layer and vectors.

    The update has the size of AdamW's by 0.2 sqrt(max(rows, columns)), so that the task's learning rate suits both; `lr` scales
    the matrices'. An AdamW that was tuned less is the usual confounder.
    """

    lr: float = param(1.0, "learning rate of the matrices, as a multiple of the task's", low=0, open=True)
    momentum: float = param(0.95, "momentum of the matrices", low=0, high=0.9999)
    axis = "seconds"

    def build_optimizer(self, groups: Mapping[str, Any], lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
        from pytorch_optimizer import Muon as Built

        others = [parameter for role, group in groups.items() if role != "matrices" for parameter in group]
        return Built(
            [
                {"params": groups["matrices"], "use_muon": True, "lr": self.lr * lr, "momentum": self.momentum},
                {"params": others, "use_muon": False, "lr": lr, "betas": betas, "eps": 1e-8},
            ],
            use_adjusted_lr=True,
            weight_decay=weight_decay,
            adamw_wd=weight_decay,
        )

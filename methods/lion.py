from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class Lion(Method, name="lion", source="arXiv 2302.06675; pytorch-optimizer", evidence="published"):
    """Lion: the sign of an interpolated momentum.

    Its steps have the size of the learning rate whatever the gradient: the paper takes a tenth to a third of AdamW's.
    """

    lr: float = param(0.1, "learning rate, as a multiple of the task's", low=0, open=True)
    axis = "seconds"

    def build_optimizer(self, groups: Mapping[str, Any], lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
        from pytorch_optimizer import Lion as Built

        parameters = [parameter for group in groups.values() for parameter in group]
        return Built(parameters, lr=self.lr * lr, betas=(0.9, 0.99), weight_decay=weight_decay)

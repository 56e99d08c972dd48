from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class ScheduleFree(Method, name="schedule-free", source="arXiv 2405.15682; pytorch-optimizer", evidence="published"):
    """Schedule-free AdamW: gradients at a point between its fast weights and their average, which is what is evaluated.

    It is an average itself, so it takes the place of the task's, and does not compose with another.
    """

    lr: float = param(1.0, "learning rate, as a multiple of the task's", low=0, open=True)
    axis = "seconds"

    def build_optimizer(self, groups: Mapping[str, Any], lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
        from pytorch_optimizer import ScheduleFreeAdamW

        parameters = [parameter for group in groups.values() for parameter in group]
        return ScheduleFreeAdamW(parameters, lr=self.lr * lr, betas=betas, weight_decay=weight_decay)

    def decay(self, n: int) -> float:
        return 0.0

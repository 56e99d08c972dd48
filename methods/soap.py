from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class Soap(Method, name="soap", source="arXiv 2409.11321; pytorch-optimizer", evidence="published"):
    """SOAP: Adam in the eigenbasis of Shampoo's preconditioner, for all parameters of two dimensions or more.

    Its first step sets up the preconditioner and moves nothing. The eigenbasis costs seconds.
    """

    lr: float = param(1.0, "learning rate, as a multiple of the task's", low=0, open=True)
    frequency: int = param(10, "steps between two updates of the eigenbasis", low=1)
    axis = "seconds"

    def build_optimizer(self, groups: Mapping[str, Any], lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
        from pytorch_optimizer import SOAP

        parameters = [parameter for group in groups.values() for parameter in group]
        return SOAP(
            parameters,
            lr=self.lr * lr,
            betas=(0.95, 0.95),
            weight_decay=weight_decay,
            precondition_frequency=self.frequency,
        )

from collections.abc import Mapping

from fidrace.method import Method, param

FIELDS = ("lr", "warmup", "beta2", "weight_decay")  # of the optimizer
OWN = -1  # stands for the task's own


class Tuned(Method, name="tuned", source="fidrace tune", evidence="inferred"):
    """The task's own method with other settings of the optimizer and of the average, such as `fidrace tune` finds.

    It composes with any method, so that each can be raced as it was tuned, and the baseline too. A method's own schedule
    multiplies the learning rate. `decay` claims the average.
    """

    lr: float = param(OWN, "learning rate; -1: the task's", low=0)
    warmup: int = param(OWN, "iterations of warm-up; -1: the task's", low=0)
    beta2: float = param(OWN, "Adam's beta2; -1: the task's", low=0, high=1)
    weight_decay: float = param(OWN, "weight decay; -1: the task's", low=0)
    ema: float = param(OWN, "decay of the average of the weights; -1: the task's", low=0, high=1)

    def aspects(self) -> tuple[str, ...]:
        return ("settings",) if self.ema == OWN else ("average", "settings")

    def settings(self) -> Mapping[str, float]:
        return {f"optimizer.{key}": getattr(self, key) for key in FIELDS if getattr(self, key) != OWN}

    def decay(self, n: int) -> float:
        return self.ema

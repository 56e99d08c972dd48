from typing import Literal

from fidrace.method import Floats, Method, Prediction, param

Weight = Literal["own", "eps"]


class VPrediction(Method, name="v-prediction", source="arXiv 2202.00512", evidence="published"):
    """The network predicts v = a eps - sigma x0, in training and in the sampler.

    Unit weight on the v-MSE is (S + 1) / S on the eps-MSE: `v-weight` is the control that has this weight and predicts eps,
    `v-prediction[weight=eps]` its mirror.
    """

    weight: Weight = param("own", "own: 1 on the v-MSE; eps: the weight is left alone")

    def prediction(self) -> Prediction:
        return "v"

    def loss_weight(self, progress: float) -> Floats:
        return _of_v(self.schedule.snr)

    def aspects(self) -> tuple[str, ...]:
        return ("prediction",) if self.weight == "eps" else super().aspects()


class X0Prediction(Method, name="x0-prediction", source="arXiv 2202.00512", evidence="published"):
    """The network predicts x0, in training and in the sampler.

    Unit weight on the x0-MSE is 1 / S on the eps-MSE: `x0-weight` is the control that has this weight and predicts eps,
    `x0-prediction[weight=eps]` its mirror.
    """

    weight: Weight = param("own", "own: 1 on the x0-MSE; eps: the weight is left alone")

    def prediction(self) -> Prediction:
        return "x0"

    def loss_weight(self, progress: float) -> Floats:
        return 1 / self.schedule.snr

    def aspects(self) -> tuple[str, ...]:
        return ("prediction",) if self.weight == "eps" else super().aspects()


class VWeight(Method, name="v-weight", source="control", evidence="inferred"):
    """The control of `v-prediction`: its weight, w = (S + 1) / S, with the task's own prediction."""

    def loss_weight(self, progress: float) -> Floats:
        return _of_v(self.schedule.snr)


class X0Weight(Method, name="x0-weight", source="control", evidence="inferred"):
    """The control of `x0-prediction`: its weight, w = 1 / S, with the task's own prediction."""

    def loss_weight(self, progress: float) -> Floats:
        return 1 / self.schedule.snr


def _of_v(snr: Floats) -> Floats:
    return 1 + 1 / snr

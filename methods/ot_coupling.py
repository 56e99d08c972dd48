from typing import Any

from fidrace.method import Draw, Ints, Method


class OtCoupling(Method, name="ot-coupling", source="arXiv 2302.00482 (torchcfm)", evidence="published"):
    """Optimal transport between the images and the noise of a batch: pairs are drawn with replacement from the plan of least
    mean |x0 - eps|^2.

    Between two sets of B equal weights an optimal plan is a permutation. Of B draws with replacement a share of (1 - 1/B)^B,
    a third, of the images is absent: `duplicates` is the control that has this alone.
    """

    axis = "seconds"

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        from scipy.optimize import linear_sum_assignment  # takes a second to import

        cost = (x0.flatten(1)[:, None] - eps.flatten(1)[None]).square().sum(2)
        partner = linear_sum_assignment(cost.double().cpu().numpy())[1]
        pairs = _with_replacement(draw, len(x0))
        return pairs, eps[partner[pairs]]


class Duplicates(Method, name="duplicates", source="control", evidence="inferred"):
    """The control of `ot-coupling` without transport: the batch's images drawn from it with replacement, each with a noise of
    its own."""

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return _with_replacement(draw, len(x0)), eps


def _with_replacement(draw: Draw, count: int) -> Ints:
    return (draw.uniforms() * count).astype("int64")

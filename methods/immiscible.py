from typing import Any

from fidrace.method import Draw, Ints, Method


class Immiscible(Method, name="immiscible", source="arXiv 2406.12303", evidence="published", claim="up to 3x on CIFAR-10"):
    """Immiscible diffusion: the noise of a batch is handed to the images that it is nearest to.

        eps <- eps[pi],  pi the assignment of least sum_i |x0_i - eps_pi(i)|, over the global batch

    Every noise stays standard normal, but not independent of its image. The assignment costs B^3: judge it in seconds too. A
    public trainer permutes the noise of x_t and regresses on the unpermuted one, which is no such method.
    """

    axis = "seconds"

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, eps[_assignment(x0, eps)]


class Anti(Method, name="anti", source="control", evidence="inferred"):
    """The control of `immiscible` with the opposite sign: the assignment of the largest sum of distances."""

    axis = "seconds"

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, eps[_assignment(x0, eps, largest=True)]


class Shuffle(Method, name="shuffle", source="control", evidence="inferred"):
    """The control of `immiscible` without its aim: a random permutation of the noise, which is the baseline in law."""

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, eps[draw.uniforms().argsort()]


def _assignment(x0: Any, eps: Any, largest: bool = False) -> Ints:
    from scipy.optimize import linear_sum_assignment  # takes a second to import

    distance = (x0.flatten(1)[:, None] - eps.flatten(1)[None]).norm(dim=2)
    return linear_sum_assignment(distance.double().cpu().numpy(), maximize=largest)[1]

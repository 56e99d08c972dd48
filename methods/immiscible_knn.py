from typing import Any

from fidrace.method import Draw, Ints, Method, param


class ImmiscibleKnn(Method, name="immiscible-knn", source="arXiv 2505.18521", evidence="published", claim="over 4x"):
    """The nearest of k noises: every image takes, of k independent draws, the one that it is nearest to.

    The noise is then not standard normal: it is shorter, and leans towards the image. `knn-norm` and `scaled-noise` are the
    controls that have the first without the second.
    """

    k: int = param(4, "draws for each image", low=1, high=1024)
    axis = "seconds"
    keeps_noise = False

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, _best(eps, draw, self.k, lambda noise: (x0 - noise).flatten(1).norm(dim=1))


class KnnNorm(Method, name="knn-norm", source="control", evidence="inferred"):
    """The control of `immiscible-knn` that does not look at the image: the shortest of k noises."""

    k: int = param(4, "draws for each image", low=1, high=1024)
    axis = "seconds"
    keeps_noise = False

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, _best(eps, draw, self.k, lambda noise: noise.flatten(1).norm(dim=1))


class ScaledNoise(Method, name="scaled-noise", source="control", evidence="inferred"):
    """The control of `immiscible-knn` that only shortens: eps sqrt(variance)."""

    variance: float = param(0.979, "E |eps|^2 / D", low=0, open=True)
    keeps_noise = False

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, eps * self.variance**0.5


def _best(eps: Any, draw: Draw, k: int, distance: Any) -> Any:
    """Of `eps` and k - 1 further draws the one of the least distance, example by example."""
    best, least = eps, distance(eps)
    for number in range(1, k):
        other = draw.normals(number)
        nearer = distance(other) < least
        best = other.where(nearer[:, None, None, None], best)
        least = least.minimum(distance(other))
    return best

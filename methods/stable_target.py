from typing import Any

from fidrace.method import Draw, Method, param


class StableTarget(Method, name="stable-target", source="arXiv 2302.00670", evidence="published", claim="faster training"):
    """Stable target field: the mean of x0 given x_t over n images, in place of the one x0 that made it.

        x0 <- sum_j softmax_j(-|x_t - a x_j|^2 / (2 sigma^2)) x_j

    The n images are the example itself and those that follow it in the batch, then others that are not in it: these are read
    besides, so judge it in images too. With n = N, the whole of the data, the target is the exact score of the data set, which
    a memoriser has: look at the guard `memorised`.
    """

    n: int = param(256, "images that the mean is taken over", low=1)
    axis = "images"

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        if self.n == 1:
            return eps, x0, eps
        if draw.labels is not None:
            raise ValueError("stable-target: the task has classes, and the mean would be taken over all of them")
        batch, within = len(x0), min(self.n, len(x0))
        images = x0 if self.n <= batch else _join(x0, draw.images(self.n - batch))
        x_t = signal * x0 + noise * eps
        a, sigma = signal.flatten(1), noise.flatten(1)
        distance = (x_t.flatten(1)[:, None] - a[:, :, None] * images.flatten(1)[None]).square().sum(2)
        score = -distance / (2 * sigma**2)
        if within < batch:
            place = _following(x0, batch)
            score = score.masked_fill(place >= within, float("-inf"))
        mean = (score.softmax(1) @ images.flatten(1)).reshape(x0.shape)
        return eps, mean, (x_t - signal * mean) / noise


def _join(one: Any, other: Any) -> Any:
    joined = one.new_empty((len(one) + len(other), *one.shape[1:]))
    joined[: len(one)], joined[len(one) :] = one, other
    return joined


def _following(like: Any, batch: int) -> Any:
    """[B, B]: by how many places example j follows example i, round the batch."""
    place = like.new_ones(batch).cumsum(0)
    return (place[None] - place[:, None]) % batch

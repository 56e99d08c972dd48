"""What a loop trains on, against the eps-MSE that fidrace's weights are on; and whether the losses seen contradict it."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fidrace.errors import InputError, nearest
from fidrace.method.base import Floats

Trained = Literal["eps", "x0", "v", "flow", "F"]
WATCHED = 2_000  # examples whose losses are compared once
CONTRADICTION = 4  # times that the mean loss of one end of the noise levels exceeds the other's


def check_trained(trained: str) -> Trained:
    """Raise InputError unless `trained` is a kind of loss that is known."""
    if trained not in get_args(Trained):
        raise InputError(
            f"trained={trained!r}: what the loss is the squared error of{nearest(str(trained), get_args(Trained))}"
        )
    return trained  # type: ignore[return-value]


def per_eps(trained: Trained, log_sigma: Tensor, sigma_data: float) -> Tensor:
    """How many times the eps-MSE a loss is, at noise levels ln sigma, sigma^2 = (1 - abar) / abar.

    An error e in eps is sigma e in x0, e / sqrt(abar) in v (arXiv 2202.00512), (1 + sigma) e in the velocity eps - x0 of
    the path (1 - s) x0 + s eps, and sqrt(sigma^2 + sigma_data^2) / sigma_data e in EDM's raw network output F, whose
    x0-error is divided by c_out (arXiv 2206.00364, table 1).
    """
    sigma = log_sigma.exp()
    match trained:
        case "eps":
            return torch.ones_like(sigma)
        case "x0":
            return sigma**2
        case "v":
            return 1 + sigma**2
        case "flow":
            return (1 + sigma) ** 2
        case "F":
            return 1 + (sigma / sigma_data) ** 2


class LossWatch:
    """Compares the losses of the lowest and the highest noise levels once, some way into training.

    A network that learns explains the noise at high levels and the image at low ones: the eps-MSE falls with the level, and the
    x0-MSE rises. The other kinds have no such order, and are not judged.
    """

    def __init__(self, trained: Trained, horizon: int):
        self.trained, self.begin = trained, min(100, horizon // 10)
        self.pairs: list[Floats] = []  # ln sigma and loss, [2, B]
        self.done = trained not in ("eps", "x0")

    def wants(self, n: int) -> bool:
        return not self.done and n >= self.begin

    def add(self, log_sigma: Floats, loss: Floats) -> str | None:
        """A line of warning if the losses so far contradict `trained`; None otherwise, or if it is too early to tell."""
        pairs = np.stack([log_sigma, loss])
        self.pairs.append(pairs[:, np.isfinite(pairs).all(0)])
        if sum(one.shape[1] for one in self.pairs) < WATCHED:
            return None
        level, loss = np.concatenate(self.pairs, 1)
        loss = loss[np.argsort(level, kind="stable")]
        self.done, self.pairs = True, []
        quarter = len(loss) // 4
        low, high = loss[:quarter].mean(), loss[-quarter:].mean()
        rises = bool(low < high)
        if rises != (self.trained == "eps") or max(low, high) < CONTRADICTION * min(low, high):
            return None
        way, other = ("rises", "x0") if rises else ("falls", "eps")
        return (
            f"trained={self.trained!r}, but the loss {way} with the noise level (mean {low:.3g} in the lowest quarter, "
            f"{high:.3g} in the highest): is it the squared error of {other}?"
        )

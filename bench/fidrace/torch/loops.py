"""Three ways to a race, by how the loop draws its time."""

from typing import Any

from fidrace.torch.processes import Chain, Function, LogNormal, Path
from fidrace.torch.race import Race


def discrete(method: str, alphas_cumprod: Any, **race: Any) -> Race:
    """A race in a loop that draws integer timesteps uniformly. `alphas_cumprod` [T]: alpha-bar, as tensor or array.

    Methods that are said in terms of the index t use the loop's own index, unless `reference` names another chain. See `Race`
    for the rest: horizon, trained, seed, rank, sigma_data, reference, methods_path.
    """
    return Race(method, Chain(alphas_cumprod), **race)


def lognormal(
    method: str, P_mean: float = -1.2, P_std: float = 1.2, *, sigma_min: float = 0.002, sigma_max: float = 80.0, **race: Any
) -> Race:
    """A race in a loop that draws ln sigma ~ N(P_mean, P_std^2), as EDM does (arXiv 2206.00364); a method's own levels are cut
    off at sigma_min and sigma_max. With trained="x0" its weight takes the place of EDM's lambda(sigma)."""
    return Race(method, LogNormal(P_mean, P_std, sigma_min, sigma_max), **race)


def path(method: str, *, sigma: Function | None = None, own_cdf: Function | None = None, data_at: int = 0, **race: Any) -> Race:
    """A race in a loop that draws a time in [0, 1], with data at `data_at`, 0 or 1.

    sigma: noise over signal at times t, as a function of tensors; t / (1 - t) of the linear path from the data unless given.
    own_cdf: the distribution function of the loop's own draws; uniform unless given.
    """
    return Race(method, Path(sigma, own_cdf, data_at), **race)

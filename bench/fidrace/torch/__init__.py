"""fidrace's methods in somebody else's training loop.

    import fidrace.torch as fr

    race = fr.discrete("min-snr", alphas_cumprod, horizon=400_000, seed=seed, trained="eps")     once, before training
    t, w = race(t)                                after the loop's own line that draws t: the method's t, and a weight [B] on
                                                  the loss of each example
    with race.step(optimizer):                    learning rate and beta1 of this step, given back after it
        optimizer.step()

`discrete` is for integer timesteps, `lognormal` for EDM's sigma, `path` for a time in [0, 1] of any process that has a sigma;
`log` writes what `fidrace import jsonl` reads. Needs torch 2.0 or newer and fidrace's base install, not `fidrace[train]`.
Nothing here touches a random generator of the loop's: docs/your-loop.md says what follows from that.
"""

from fidrace.torch.log import log
from fidrace.torch.loops import discrete, lognormal, path
from fidrace.torch.race import Race

__all__ = ["Race", "discrete", "log", "lognormal", "path"]

from typing import Any

from fidrace.method import Draw, Method, param


class ContrastiveFm(Method, name="contrastive-fm", source="arXiv 2506.05350", evidence="published", claim="9x"):
    """Contrastive flow matching: away from the target y- of another example of the batch.

        |p - y|^2 - lam |p - y-|^2 = (1 - lam) |p - (y - lam y-) / (1 - lam)|^2 + what does not depend on p

    So it is a change of target, and is trained as one. Its minimiser is the mean of y, moved away from the mean over all
    examples: with unconditional eps, whose mean is 0, eps / (1 - lam), an inflation. `cfm-mean` and `scale` are the controls.
    The released code's own default of lam, 1, has no minimum.
    """

    lam: float = param(0.05, "share of the contrast", low=0, high=0.99)

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        return eps, *(_away(y, y.roll(1, 0), self.lam) for y in (x0, eps))


class CfmMean(Method, name="cfm-mean", source="control", evidence="inferred"):
    """The control of `contrastive-fm` without another example: away from the mean of the batch."""

    lam: float = param(0.05, "share of the contrast", low=0, high=0.99)

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        return eps, *(_away(y, y.mean(0, keepdim=True), self.lam) for y in (x0, eps))


class Scale(Method, name="scale", source="control", evidence="inferred"):
    """The control of `contrastive-fm` that only inflates: the target divided by 1 - lam."""

    lam: float = param(0.05, "share of the contrast", low=0, high=0.99)

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        return eps, x0 / (1 - self.lam), eps / (1 - self.lam)


def _away(y: Any, from_: Any, lam: float) -> Any:
    return (y - lam * from_) / (1 - lam)

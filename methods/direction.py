from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class Direction(Method, name="direction", source="LightningDiT, arXiv 2501.01423", evidence="reconstructed"):
    """A further loss on the direction: w (1 - cos(prediction, target)), the angle taken over all numbers of an example.

    Over the channels of each pixel, as released for latents, it would have no gradient on images of one channel. A network
    whose last layer starts at zero has no direction: its length counts as at least a tenth of the target's, or the first
    gradient would be so large that Adam's second moment forgets it only after thousands of steps.
    """

    w: float = param(1.0, "its weight", low=0)

    def auxiliary(self, predicted: Any, wanted: Any, taps: Mapping[str, Any], gather: Any) -> Any:
        p, y = predicted.flatten(1), wanted.flatten(1)
        length = y.norm(dim=1).clamp(min=1e-12)
        return self.w * (1 - (p * y).sum(1) / (length * p.norm(dim=1).maximum(0.1 * length)))

from typing import Any

from fidrace.method import Draw, Ints, Method, param


class OffsetNoise(Method, name="offset-noise", source="control", evidence="inferred"):
    """Offset noise, a trick of fine-tuning for dark and bright images: eps + s z, z[C] one normal for each channel.

    A negative control: the sampler starts from plain noise, which the network then was not trained on.
    """

    s: float = param(0.1, "standard deviation of the offset", low=0)
    keeps_noise = False

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        return None, eps + self.s * draw.normals()[:, :, :1, :1]

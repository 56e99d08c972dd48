from collections.abc import Mapping
from typing import Any

from fidrace.method import Method, param


class Dispersive(Method, name="dispersive", source="arXiv 2506.09027", evidence="published"):
    """Dispersive loss: activations of the network's middle are driven apart.

    loss + lam log mean_ij exp(-|z_i - z_j|^2 / (D tau)),  z[B, D], over the global batch, i = j among them
    """

    lam: float = param(0.5, "its weight", low=0)
    tau: float = param(0.5, "temperature", low=0, open=True)
    taps = ("middle",)
    axis = "seconds"

    def auxiliary(self, predicted: Any, wanted: Any, taps: Mapping[str, Any], gather: Any) -> Any:
        z = gather(taps["middle"].float().flatten(1))
        square, product = z.square().mean(1), z @ z.T / z.shape[1]
        distance = square[:, None] + square[None] - 2 * product
        return self.lam * (-distance / self.tau).exp().mean().log()

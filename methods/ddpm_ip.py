from typing import Any

from fidrace.method import Draw, Method, param


class DdpmIp(Method, name="ddpm-ip", source="arXiv 2301.11706", evidence="published", claim="better FID"):
    """Input perturbation: x_t is made with eps + gamma xi, and the network still predicts eps.

    In law that is less signal: an SNR lower by 1 + gamma^2, with a target shortened by its root. `ip-shift` is the control that
    has the shift without the second noise.
    """

    gamma: float = param(0.1, "standard deviation of the perturbation", low=0)
    keeps_noise = False

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        return eps + self.gamma * draw.normals(), x0, eps


class IpShift(Method, name="ip-shift", source="control", evidence="inferred"):
    """The control of `ddpm-ip`: x_t is made with eps sqrt(1 + gamma^2), and the network predicts eps."""

    gamma: float = param(0.1, "the standard deviation of ddpm-ip's perturbation", low=0)
    keeps_noise = False

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        return eps * (1 + self.gamma**2) ** 0.5, x0, eps

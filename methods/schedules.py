import math

from fidrace.method import Method, horizon_param, param


class Cosine(Method, name="cosine", source="arXiv 1608.03983", evidence="published"):
    """The learning rate falls along half a cosine: lr x (final + (1 - final) (1 + cos(pi tau)) / 2)."""

    final: float = param(0.0, "share of the learning rate that is left", low=0, high=1)
    horizon: int = horizon_param()

    def optimizer(self, progress: float) -> tuple[float, None]:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2, None


class Wsd(Method, name="wsd", source="arXiv 2404.06395 (MiniCPM)", evidence="reconstructed"):
    """Warm-up, stable, decay: the learning rate stays until the last share of training, then falls linearly, where
    MiniCPM lets it fall exponentially. The warm-up is the task's."""

    cooldown: float = param(0.2, "share of training in which it falls", low=0, high=1, open=True)
    final: float = param(0.0, "share of the learning rate that is left", low=0, high=1)
    horizon: int = horizon_param()

    def optimizer(self, progress: float) -> tuple[float, None]:
        left = min(1.0, (1 - progress) / self.cooldown)
        return self.final + (1 - self.final) * left, None


class InverseSqrt(Method, name="inverse-sqrt", source="EDM2, arXiv 2312.02696", evidence="published"):
    """The learning rate falls as 1 / sqrt(max(n / n_ref, 1)): constant for n_ref steps, whatever the budget."""

    ref: int = param(100, "steps after which it begins to fall", low=1)

    def progress(self, n: int) -> float:
        return n / self.schedule.horizon  # also past the budget, on which it does not depend

    def optimizer(self, progress: float) -> tuple[float, None]:
        n = progress * self.schedule.horizon
        return 1 / math.sqrt(max(n / self.ref, 1)), None

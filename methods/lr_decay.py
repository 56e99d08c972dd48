from fidrace.method import Method, horizon_param, param


class LrDecay(Method, name="lr-decay", source="control for mdlrc", evidence="inferred"):
    """The learning rate of mdlrc without its momentum: lr x (1 - (1 - final) tau), beta1 constant."""

    final: float = param(0.1, "the multiplier at the horizon", low=0, high=1)
    horizon: int = horizon_param()

    def optimizer(self, progress: float) -> tuple[float, None]:
        return 1 - (1 - self.final) * progress, None

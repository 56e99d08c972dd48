from fidrace.method import Method, horizon_param, param


def demon_beta(progress: float, beta0: float) -> float:
    """Adam's beta1 at `progress` in [0, 1] under decaying momentum (Demon, arXiv 1910.04952)."""
    left = beta0 * (1 - progress)
    return left / (1 - beta0 + left)


class Mdlrc(Method, name="mdlrc", source="arXiv 2404.07946; Demon, arXiv 1910.04952", evidence="reconstructed"):
    """Momentum decay with learning-rate compensation: beta1 falls to 0, the newest gradient keeps its weight.

        beta_t = beta0 (1 - tau) / ((1 - beta0) + beta0 (1 - tau)),    lr x (1 - beta0) / (1 - beta_t)

    The multiplier is exactly 1 - beta0 tau: a linear decay of the learning rate to 10 %. `lr-decay` is the control that
    separates this decay from the momentum's.
    """

    beta0: float = param(0.9, "Adam's beta1 at the start", low=0, high=1, open=True)
    horizon: int = horizon_param()

    def optimizer(self, progress: float) -> tuple[float, float]:
        beta = demon_beta(progress, self.beta0)
        return (1 - self.beta0) / (1 - beta), beta

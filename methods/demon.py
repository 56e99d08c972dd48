from fidrace.method import Method, horizon_param, param

from .mdlrc import demon_beta


class Demon(Method, name="demon", source="control for mdlrc; Demon, arXiv 1910.04952", evidence="inferred"):
    """The momentum of mdlrc without its compensation: beta1 falls as in Demon, the learning rate is constant.

        beta_t = beta0 (1 - tau) / ((1 - beta0) + beta0 (1 - tau))

    As beta1 falls, the newest gradient gains weight, up to 1 / (1 - beta0) times; according to the paper, late training
    becomes unstable.
    """

    beta0: float = param(0.9, "Adam's beta1 at the start", low=0, high=1, open=True)
    horizon: int = horizon_param()

    def optimizer(self, progress: float) -> tuple[float, float]:
        return 1.0, demon_beta(progress, self.beta0)

from fidrace.method import Floats, Method, param


class P2(Method, name="p2", source="arXiv 2204.00227", evidence="published", claim="better quality"):
    """Perception-prioritized weighting: w = 1 / (k + S)^gamma, S the signal-to-noise ratio.

    Defaults are the paper's; the released code's own default, gamma = 0, does nothing.
    """

    k: float = param(1.0, "keeps the weight finite where S -> 0", low=0, open=True)
    gamma: float = param(1.0, "how strongly low noise is played down", low=0)

    def loss_weight(self, progress: float) -> Floats:
        return (self.k + self.schedule.snr) ** -self.gamma

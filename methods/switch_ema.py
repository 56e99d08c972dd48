from fidrace.method import Method, param


class SwitchEma(Method, name="switch-ema", source="arXiv 2402.09240", evidence="published"):
    """The average takes the place of the weights every N steps; the optimizer's state stays.

    Published with one switch an epoch. Unlike other averages it changes what is trained.
    """

    every: int = param(100, "steps between two switches", low=1)

    def feedback(self, n: int) -> bool:
        return n % self.every == 0

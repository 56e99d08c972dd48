from fidrace.method import Method


class NoEma(Method, name="no-ema", source="control", evidence="inferred"):
    """No average: the weights themselves are evaluated.

    The control of every average, and of every factor: what a method gains under an average that lags behind the weights may
    be gone without it.
    """

    def decay(self, n: int) -> float:
        return 0.0

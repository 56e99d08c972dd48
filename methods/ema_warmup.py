from fidrace.method import Method


class EmaWarmup(Method, name="ema-warmup", source="tf.train.ExponentialMovingAverage", evidence="published"):
    """An average that forgets its beginning: decay_n = min(d, (1 + n) / (10 + n)), d the task's decay.

    With d = 0.9999 alone, 0.9999^10000 = 37 % of the averaged network is still its initialisation after 10,000 steps.
    """

    def decay(self, n: int) -> float:
        return min(self.schedule.ema_decay, (1 + n) / (10 + n))

"""What a training method is: `from fidrace.method import Floats, Method, param` is all that a method's file needs."""

from fidrace.method.base import (
    Evidence,
    Floats,
    Ints,
    Method,
    NoiseSchedule,
    Prediction,
    horizon_param,
    inverse_cdf,
    param,
)

__all__ = ["Evidence", "Floats", "Ints", "Method", "NoiseSchedule", "Prediction", "horizon_param", "inverse_cdf", "param"]

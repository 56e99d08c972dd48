"""The interface of training methods, all that a method's file needs: `from fidrace.method import Floats, Method, param`."""

from fidrace.method.base import (
    Draw,
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

__all__ = [
    "Draw",
    "Evidence",
    "Floats",
    "Ints",
    "Method",
    "NoiseSchedule",
    "Prediction",
    "horizon_param",
    "inverse_cdf",
    "param",
]

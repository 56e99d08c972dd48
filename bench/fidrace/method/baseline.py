from fidrace.method.base import Method


class Baseline(Method, name="baseline", source="improved-diffusion, arXiv 2102.09672", evidence="published"):
    """Uniform timesteps, weight 1, the task's own optimizer: every speedup is measured against it."""

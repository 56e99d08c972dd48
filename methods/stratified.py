import numpy as np

from fidrace.method import Floats, Method


class Stratified(Method, name="stratified", source="VDM, arXiv 2107.00630, appendix", evidence="published"):
    """One uniform per batch, spread evenly over it: u_i = (u_0 + i / B) mod 1, i the example's index in the global batch.

    Each example's timestep keeps its density, but the batch covers it evenly, so the gradient varies less. A control:
    variance reduction alone. It composes with methods that change the density.
    """

    def uniforms(self, u: Floats) -> Floats:
        return (u[0] + np.arange(len(u)) / len(u)) % 1

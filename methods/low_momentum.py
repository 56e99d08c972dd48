from fidrace.method import Method, param


class LowMomentum(Method, name="low-momentum", source="control for mdlrc", evidence="inferred"):
    """Adam's beta1 low and constant from the first step: does the decay of momentum matter, or only having less of it?"""

    beta1: float = param(0.5, "Adam's beta1; 0 is no momentum", low=0, high=0.999)

    def optimizer(self, progress: float) -> tuple[float, float]:
        return 1.0, self.beta1

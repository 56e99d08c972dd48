from fidrace.method import Floats

from .clts import Clts


class ReverseClts(Clts, name="reverse-clts", source="control for clts", evidence="inferred"):
    """clts in reverse, from the Gaussian to uniform: does the direction of the curriculum matter?"""

    def timestep_density(self, progress: float) -> Floats:
        return super().timestep_density(1 - progress)

"""What is measured of a run: its distance, and the limits beyond which its curve shows that training failed."""

from typing import Literal

import pydantic
from pydantic import Field

from fidrace.spec.user_input import Model, Place, later

INCEPTION_METRICS = {"tf1": "fid", "clean": "fid_clean"}  # by `resize`
EXTRAPOLATED = "_inf"  # ends the name of a distance that is extrapolated to infinitely many samples


class QualityConfig(Model):
    """`metric` is the distance's name in every table; it may be fid only with Inception features. `resize`: images are resized
    for Inception as in TensorFlow 1 (torch-fidelity) or clean-fid. `extrapolate`: the distance is that of infinitely many
    samples. `final_samples`: samples for one more evaluation at the budget, beside the curve's `samples`. `guard_images`:
    training images that the guards use (None: all). `weights` and `reference` (an .npz of mu and sigma) are files."""

    metric: str
    features: Literal["digits", "mnist", "thumb8", "inception"]
    features_sha256: str = ""
    samples: int = Field(ge=2)
    heldout_repeats: int = Field(gt=0)  # timesteps per held-out image in the eps-MSE
    resize: Literal["tf1", "clean"] = later("tf1")
    extrapolate: bool = later(False)
    final_samples: int | None = later(None, ge=2)
    kid: bool = later(False)
    guard_images: int | None = later(None, ge=2)
    reference_sha256: str = later("")
    weights: Place = None
    reference: Place = None

    @pydantic.model_validator(mode="after")
    def _only_inception_is_fid(self) -> "QualityConfig":
        ending = EXTRAPOLATED if self.extrapolate else ""
        expected = INCEPTION_METRICS[self.resize] + ending if self.features == "inception" else None
        if expected and self.metric != expected:
            set_to = f"resize = {self.resize!r}{' and extrapolate = true' if self.extrapolate else ''}"
            raise ValueError(f"Inception features with {set_to} are called {expected!r}, not {self.metric!r}")
        if not expected and self.metric.lower().startswith("fid"):
            raise ValueError(f"{self.metric!r} is the name of Inception's distance; call this fd_{self.features}{ending}")
        if self.metric.endswith(EXTRAPOLATED) != self.extrapolate:
            raise ValueError(
                f"metric is {self.metric!r} and extrapolate = {str(self.extrapolate).lower()}: the name of an extrapolated "
                f"distance, and no other one, ends in {EXTRAPOLATED}: "
                f"call this {self.metric.removesuffix(EXTRAPOLATED)}{ending}"
            )
        return self


class SignatureConfig(Model):
    """When a run's curve shows a failure. `errors`: standard errors of two evaluations together beyond which they differ.
    `loss`, `gradient`: a rise of FD by one standard error is enough if the last two held-out losses lie above the smallest
    before, or the last two norms of the gradient above the median before, by more than this share. `swings`: rises that fall
    again, from which on a run oscillates. `share` of the budget: a run that has not reached the target by then is slow. `fall`
    of ln FD over the last third: a run that falls by less and has not arrived stands still."""

    errors: float = Field(default=3.0, gt=0, le=100)
    loss: float = Field(default=0.001, gt=0, le=1)
    gradient: float = Field(default=0.25, gt=0, le=100)
    swings: int = Field(default=2, gt=0)
    share: float = Field(default=0.9, gt=0, le=1)
    fall: float = Field(default=0.1, gt=0, le=1)

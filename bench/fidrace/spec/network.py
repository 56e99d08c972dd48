"""Which network a task trains."""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field

from fidrace.spec.user_input import Model, later

UNET_FIELDS = frozenset(
    "multipliers res_blocks attention_resolutions head_channels scale_shift resblock_updown norm_groups config".split()
)
TRANSFORMER_FIELDS = frozenset({"patch", "depth"})


class NetworkConfig(Model):
    """The U-Net's fields, named as in its papers; image size and channels come from the data. Kind `diffusers` is that
    library's UNet2DModel with the same widths; `config` adds and overrides its arguments. Kind `dit` is a transformer of
    `depth` blocks on patches, with channels, heads, dropout, classes and init alone."""

    kind: Literal["unet", "diffusers", "dit"] = "unet"
    channels: int = Field(gt=0)
    multipliers: tuple[pydantic.PositiveInt, ...] = ()
    res_blocks: int = Field(default=0, ge=0)
    patch: int | None = later(None, gt=0)
    depth: int | None = later(None, gt=0)
    attention_resolutions: tuple[int, ...] = ()
    heads: int = Field(default=1, gt=0)
    head_channels: int | None = Field(default=None, gt=0)
    scale_shift: bool = False
    resblock_updown: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    classes: int | None = Field(default=None, gt=0)
    norm_groups: int = Field(default=32, gt=0)
    config: dict[str, Any] = later({})
    init: int | None = later(None, ge=0)  # the seed of the initial weights; None: the run's own seed

    @pydantic.model_validator(mode="after")
    def _kind_has_its_fields(self) -> "NetworkConfig":
        what, foreign, needed = "U-Net", TRANSFORMER_FIELDS, ("multipliers", "res_blocks")
        if self.kind == "dit":
            what, foreign, needed = "transformer", UNET_FIELDS, ("patch", "depth")
        for name, field in NetworkConfig.model_fields.items():
            if name in foreign and getattr(self, name) != field.default:
                raise ValueError(f"{name} does not belong to a {what}, which kind = {self.kind!r} is")
        if not all(getattr(self, name) for name in needed):
            raise ValueError(f"a {what} needs {' and '.join(needed)}")
        return self

    @pydantic.model_validator(mode="after")
    def _groups_divide(self) -> "NetworkConfig":
        if self.kind != "dit" and self.channels % self.norm_groups:
            raise ValueError(f"norm_groups = {self.norm_groups} does not divide {self.channels} channels")
        if self.config and self.kind != "diffusers":
            raise ValueError('config holds arguments of kind = "diffusers"')
        return self


def keep_what_fits(table: dict[str, Any], changed: Mapping[str, Any]) -> None:
    """A network that becomes a transformer keeps nothing of the U-Net that it was."""
    if changed.get("kind") == "dit":
        table["network"] = {key: value for key, value in table["network"].items() if key not in UNET_FIELDS}

"""What users write, as values: TOML files and the words of options. Wrong input raises InputError in one line."""

import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args

import pydantic
from pydantic import AfterValidator, Field

from fidrace.errors import InputError, nearest

BASELINE = "baseline"
Target = float | Literal["baseline-final"]
Goal = pydantic.PositiveFloat | Literal["baseline-final"]  # a target in a file
WIDEST_WINDOW = 2.0  # further from the target the factor may be another one
WindowRatio = Annotated[float, Field(ge=1, le=WIDEST_WINDOW)]  # 1: the target alone
# A path on this machine, left out of the fixed part: content counts, its place does not.
Place = Annotated[Path | None, Field(exclude=True), AfterValidator(lambda path: path and path.expanduser().absolute())]
M = TypeVar("M", bound="Model")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def later(default: Any, **rules: Any) -> Any:
    """A field added after tables were published: at its default it is left out of the fixed part, so that their hashes stay
    valid."""
    return Field(default=default, exclude_if=lambda value: value == default, **rules)


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also no UTF-8, a number of thousands of digits, endless brackets
        raise InputError(f"{path}: not a TOML file: {error}") from error


def validate(model: type[M], table: dict[str, Any], where: str) -> M:
    """`table` as `model`; raises InputError in one line: the first wrong field, what is wrong, the nearest name."""
    try:
        return model.model_validate(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            parent: Any = model
            for step in first["loc"][:-1]:
                parent = get_args(parent)[0] if isinstance(step, int) else parent.model_fields[step].annotation
                parent = get_args(parent)[0] if isinstance(parent, UnionType) else parent
            raise InputError(f"{where}: unknown field {field!r}{nearest(str(first['loc'][-1]), parent.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        scalar = isinstance(first["input"], str | int | float) and first["type"] != "missing"
        raise InputError(
            ": ".join(filter(None, (where, field, message))) + (f" (got {first['input']!r})" if scalar else "")
        ) from None


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` is (0, 1, 2); `4,7` is (4, 7); `5,` is (5,). Raises InputError for no seeds, and for negative or repeated ones."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--seeds {text}: write a count (3 means 0, 1, 2) or seeds (0,5,7)") from None
    if numbers and "," not in text:
        if numbers[0] < 1:
            raise InputError(f"--seeds {text}: at least 1 seed is needed")
        numbers = list(range(*numbers))
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds {text}: seeds are different whole numbers from 0 up")
    return tuple(numbers)


def parse_target(text: str | None) -> Target | None:
    """The value of --target; raises InputError unless it is a distance or baseline-final."""
    if text is None:
        return None
    if text == "baseline-final":
        return "baseline-final"
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"--target {text}: write a distance or baseline-final") from None
    check_target(value)
    return value


def check_target(target: Target) -> None:
    """Raise InputError unless `target` is a distance above 0, or baseline-final."""
    if target != "baseline-final" and not (isinstance(target, int | float) and 0 < target < float("inf")):
        raise InputError(f"--target {target}: a target is a distance above 0, or baseline-final")


def check_window(window: float | None) -> None:
    """Raise InputError unless `window` is None or the ratio of a window."""
    if window is not None and not 1 <= window <= WIDEST_WINDOW:
        raise InputError(
            f"--window {window:g}: write a ratio from 1 (the target alone) to {WIDEST_WINDOW:g}; 1.35 takes the targets from "
            "target / 1.35 to target * 1.35"
        )


def window_edges(target: float, window: float) -> tuple[float, float]:
    """The highest and the lowest target of a window."""
    return target * window, target / window


def parse_assignment(text: str) -> tuple[str, Any]:
    """`key=value` of `--set`; the value is read as TOML, or else as a word."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set {text}: write section.field=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def parse_contrast(text: str) -> tuple[str, str]:
    """`mdlrc/lr-decay` is the method mdlrc against its control lr-decay."""
    method, slash, control = (part.strip() for part in text.partition("/"))
    if not slash or not method or not control or method == control:
        raise InputError(f"contrast {text!r}: write METHOD/CONTROL, two different methods")
    return method, control

"""The methods of a study by their canonical names, and the pairs of them that are compared."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fidrace.errors import InputError, nearest
from fidrace.method.composition import Composition
from fidrace.method.registry import Registry, content_hash
from fidrace.spec.user_input import BASELINE, parse_contrast

LONGEST_METHOD = 100  # letters of a name that another trainer's study gives


@dataclasses.dataclass(frozen=True)
class ResolvedMethod:
    """A method by its canonical name, with what a manifest records: the hash of its code, whether its schedule depends on
    the budget, how well its formula is known, what it costs besides iterations, and whether its noise is N(0, I), and in how
    many trials it was tuned."""

    name: str
    hash: str
    horizon: bool
    evidence: str
    axes: tuple[str, ...] = ()
    keeps_noise: bool = True
    tuned_by: int = 0

    @classmethod
    def of(cls, composition: Composition) -> "ResolvedMethod":
        return cls(
            str(composition),
            content_hash(composition),
            composition.depends_on_horizon(),
            composition.evidence(),
            composition.axes(),
            composition.keeps_noise(),
        )


def resolve_methods(names: Sequence[str], registry: Registry, baseline: str = BASELINE) -> tuple[ResolvedMethod, ...]:
    """The methods of these names with `baseline`, a canonical name, first, added if absent; raises InputError for an unknown
    name and for a method that is listed twice."""
    compositions = {baseline: registry.compose(baseline)}
    listed: dict[str, str] = {}
    for name in names:
        composition = registry.compose(name)
        method = str(composition)
        if method in listed:
            same = "" if name == listed[method] == method else f" ({listed[method]!r} and {name!r} are {method!r})"
            raise InputError(f"method {name!r} is listed twice{same}")
        listed[method] = name
        compositions[method] = composition
    return tuple(map(ResolvedMethod.of, compositions.values()))


def resolve_contrasts(texts: Sequence[str], registry: Registry, methods: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Contrasts by canonical names; raises InputError for a contrast of methods that are not in `methods`."""
    contrasts = []
    for text in texts:
        method, control = (str(registry.compose(name)) for name in parse_contrast(text))
        for name in (method, control):
            if name not in methods:
                raise InputError(f"contrast {text!r}: {name!r} is not among the study's methods{nearest(name, methods)}")
        contrasts.append((method, control))
    return tuple(dict.fromkeys(contrasts))


def check_method_name(path: Path, name: str) -> None:
    """Raise InputError for a method's name that cannot stand in tables and name a folder."""
    if Path(name).name != name or not name.isprintable() or not name.strip() or name.startswith(("=", "+", "-", "@", ".")):
        raise InputError(f"{path}: {name[:40]!r} cannot be a method: it names a folder and stands in tables")
    if len(name) > LONGEST_METHOD:
        raise InputError(f"{path}: {name[:40]!r}... is longer than {LONGEST_METHOD} letters")

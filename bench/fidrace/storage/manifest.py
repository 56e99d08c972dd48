"""study.json, the manifest of a study's folder: what its runs are, so that no other study's runs are mixed with them.

Fields are only ever added. Fields that this version does not know are kept when a manifest is written back.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import Field, PlainSerializer

from fidrace.errors import InputError
from fidrace.method.base import Axis
from fidrace.spec.looks import Design
from fidrace.spec.user_input import BASELINE, Goal, Model, WindowRatio, validate
from fidrace.storage.atomic import read_record, write_json

if TYPE_CHECKING:
    from fidrace.spec.resolved_methods import ResolvedMethod
    from fidrace.spec.study import Study

SCHEMA = 1
Iterations = Annotated[float, PlainSerializer(lambda n: int(n) if n.is_integer() else n)]  # written back as they were read


class _Record(Model):
    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class MethodRecord(_Record):
    """What a manifest records of one method: the hash of its code when it was run (None: unknown), whether its schedule
    depends on the budget, how well its formula is known, and, unless usual, what it costs besides iterations, that its
    noise is not N(0, I), and in how many trials it was tuned."""

    hash: str | None = None
    horizon: bool = False
    evidence: str = ""
    axes: list[Axis] = Field(default=[])
    keeps_noise: bool = True
    tuned_by: int = 0

    @classmethod
    def of(cls, method: "ResolvedMethod") -> "MethodRecord":
        unusual: dict[str, Any] = {"axes": list(method.axes)} if method.axes else {}
        unusual |= {} if method.keeps_noise else {"keeps_noise": False}
        unusual |= {"tuned_by": method.tuned_by} if method.tuned_by else {}
        return cls(hash=method.hash, horizon=method.horizon, evidence=method.evidence, **unusual)

    def same_code(self, other: "MethodRecord") -> bool:
        """False if both hashes are known and differ."""
        return None in (self.hash, other.hash) or self.hash == other.hash


class Manifest(_Record):
    """The content of study.json. `target_by_rule`: the target was set from this folder's baseline runs (`fidrace target`),
    and later commands adopt it. `methods_path`: folders of the user's own method files, by absolute path. `until_decided`: the
    looks of a study that is raced until it is decided. `tuning_seeds`: those that its methods were tuned with."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: str = ""
    task: str
    fixed: dict[str, Any]
    fixed_hash: str = ""
    budget: Annotated[Iterations, Field(gt=0)]
    evaluations_at: list[Iterations] = Field(default=[])
    metric: str = ""
    target: Goal
    target_how: str
    window: WindowRatio = 1.0
    declared_seeds: list[int]
    seeds: list[int]
    contrasts: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(default=[])
    methods: dict[str, MethodRecord]
    target_by_rule: bool = False
    methods_path: list[str] = Field(default=[])
    until_decided: Design | None = None
    baseline: str = BASELINE
    tuning_seeds: list[int] = Field(default=[])

    @classmethod
    def of(cls, study: "Study") -> "Manifest":
        """The manifest of a study that is declared for the first time."""
        content = {
            "schema": SCHEMA,
            "name": study.name,
            "task": study.task.name,
            "fixed": study.task.fixed_part(),
            "fixed_hash": study.task.fixed_hash(),
            "budget": study.task.budget.iterations,
            "evaluations_at": list(study.task.budget.evaluation_steps()),
            "metric": study.task.quality.metric,
            "target": study.target,
            "target_how": study.target_how,
            "declared_seeds": list(study.seeds),
            "seeds": list(study.seeds),
            "contrasts": [list(pair) for pair in study.contrasts],
            "methods": {method.name: MethodRecord.of(method) for method in study.resolved},
        }
        if study.window > 1:
            content["window"] = study.window
        if study.baseline != BASELINE:
            content["baseline"] = study.baseline
        if study.methods_path:
            content["methods_path"] = list(study.methods_path)
        if study.tuning_seeds:
            content["tuning_seeds"] = list(study.tuning_seeds)
        if isinstance(study.until_decided, Design):
            content["until_decided"] = study.until_decided
        return cls.model_validate(content)

    def extended_by(self, new: "Manifest") -> "Manifest":
        """`new` with the methods, seeds, contrasts, folders and unknown fields that this manifest has too. The seeds that
        this one declared stay the declared ones; but while only a target has been set, nobody has seen a comparison, and new
        seeds are declared too."""
        records = {name: extend_record(self.methods.get(name), record) for name, record in new.methods.items()}
        changes: dict[str, Any] = {
            "methods": {**self.methods, **records},
            "seeds": sorted({*self.seeds, *new.seeds}),
            "declared_seeds": sorted({*self.declared_seeds, *new.seeds}) if self.has_only_target() else self.declared_seeds,
            "contrasts": self.contrasts + [pair for pair in new.contrasts if pair not in self.contrasts],
            **(self.model_extra or {}),
        }
        if self.target_by_rule:
            changes |= {"target_by_rule": True}
        if "trainer" in self.fixed and self.target_how.startswith("post hoc"):
            changes |= {"target_how": self.target_how}  # that a file names it now does not make it one that was declared before
        if folders := list(dict.fromkeys([*self.methods_path, *new.methods_path])):
            changes |= {"methods_path": folders}
        if seeds := sorted({*self.tuning_seeds, *new.tuning_seeds}):
            changes |= {"tuning_seeds": seeds}
        if self.until_decided:
            changes |= {"until_decided": self.until_decided}
        return new.model_copy(update=changes)

    def has_only_target(self) -> bool:
        """True if the target was set by the rule and no method but the baseline has been declared since."""
        return self.target_by_rule and set(self.methods) <= {self.baseline}

    def write(self, path: Path) -> None:
        """Write study.json, without the fields that were never given."""
        write_json(path, self.model_dump(by_alias=True, exclude_unset=True))


def extend_record(old: MethodRecord | None, new: MethodRecord) -> MethodRecord:
    """`new` with what `old` says of tuning, and with its fields that this version does not know."""
    if old is None:
        return new
    tuned = {"tuned_by": old.tuned_by} if old.tuned_by and not new.tuned_by else {}
    return new.model_copy(update=tuned | (old.model_extra or {}))


def read_manifest(path: Path) -> Manifest:
    """Raises InputError if study.json at `path` cannot be read."""
    content = read_record(path, "restore it, or remove it alone: `fidrace score --target FD` reads the tables without it")
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {content.get('schema')}, this fidrace reads {SCHEMA}")
    return validate(Manifest, content, str(path))


def check_same_study(path: Path, old: Manifest, new: Manifest) -> None:
    """Raise InputError, naming the first field that differs, unless the folder at `path` holds the study asked for."""
    remedy = "choose another --out, or --fresh to empty it"
    streams = {} if "trainer" in old.fixed else {"random_streams": 1}  # version 1 was not recorded; a trainer has none of ours
    held = {"task": old.task, **streams, **old.fixed}
    for field, before, now in differences(held, {"task": new.task, **new.fixed}):
        raise InputError(f"{path} holds a study with {field} = {before}, not {now}; {remedy}")
    if old.target != new.target:
        raise InputError(f"{path} has the target {old.target}, not {new.target}; `fidrace score --target` tries others")
    if old.window != new.window:
        raise InputError(f"{path} has the window {old.window:g}, not {new.window:g}; `fidrace score --window` tries others")
    if new.until_decided and not old.until_decided and not old.has_only_target():
        raise InputError(f"{path} declares no looks, and looks must be declared before the first run; {remedy}")
    if new.until_decided and old.until_decided and not old.until_decided.same_plan(new.until_decided):
        looks = f"other looks ({old.until_decided}) than {new.until_decided}"
        raise InputError(f"{path} declares {looks}, and looks must be declared before the first run; {remedy}")
    for seed in sorted({*new.seeds, *old.seeds} & {*new.tuning_seeds, *old.tuning_seeds}):
        raise InputError(f"{path}: seed {seed} was a tuning seed; race with others")
    if old.baseline != new.baseline:
        raise InputError(f"{path} measures against {old.baseline!r}, not {new.baseline!r}; {remedy}")
    for method in old.methods.keys() & new.methods.keys():
        if not old.methods[method].same_code(new.methods[method]):
            raise InputError(f"the code of method {method!r} has changed since its runs in {path}; {remedy}")


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of each leaf in which two nested tables differ, or that only one of them has."""
    tables = [one for one in (old, new) if isinstance(one, dict)]
    if len(tables) == 2 or (any(tables) and None in (old, new)):
        ours, theirs = (one or {} for one in (old, new))
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key), theirs.get(key), f"{prefix}.{key}".lstrip("."))
    elif old != new:
        yield prefix, old, new

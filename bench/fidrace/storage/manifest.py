"""study.json: what a folder's runs are, so that nothing else is ever mixed with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.method.registry import Registry, content_hash
from fidrace.spec.study import Study
from fidrace.spec.task import Goal, Model, validate
from fidrace.storage.atomic import read_record

SCHEMA = 1


class Manifest(Model):
    """What study.json must hold for others to read it."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)

    task: str
    fixed: dict[str, Any]
    fixed_hash: str = ""
    budget: pydantic.PositiveFloat
    evaluations_at: list[float] = Field(default=[])
    target: Goal
    target_how: str
    declared_seeds: list[int]
    seeds: list[int]
    methods: dict[str, dict[str, Any]]
    contrasts: list[pydantic.conlist(str, min_length=2, max_length=2)] = Field(default=[])  # type: ignore[valid-type]


def read_manifest(path: Path) -> dict[str, Any]:
    """study.json at `path`; raises InputError where it cannot be read."""
    content = read_record(path, "restore it, or remove it alone: `fidrace score --target FD` reads the tables without it")
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {content.get('schema')}, this fidrace reads {SCHEMA}")
    return validate(Manifest, content, str(path)).model_dump()


def manifest_of(study: Study) -> dict[str, Any]:
    registry = Registry(study.methods_path)
    compositions = {method: registry.compose(method) for method in study.methods}
    return {
        "schema": SCHEMA,
        "name": study.name,
        "task": study.task.name,
        "fixed": study.task.fixed_part(),
        "fixed_hash": study.task.fixed_hash(),
        "budget": study.task.budget.iterations,
        "evaluations_at": study.task.budget.evaluation_steps(),
        "metric": study.task.quality.metric,
        "target": study.target,
        "target_how": study.target_how,
        "declared_seeds": list(study.seeds),
        "seeds": list(study.seeds),
        "contrasts": [list(pair) for pair in study.contrasts],
        "methods": {
            method: {
                "hash": content_hash(composition),
                "horizon": composition.depends_on_horizon(),
                "evidence": composition.evidence(),
            }
            for method, composition in compositions.items()
        },
    }


def check_same_study(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise InputError, naming the first field that differs, where the folder's study is not the one asked for."""
    remedy = "choose another --out, or --fresh to empty it"
    for field, before, now in differences({"task": old["task"], **old["fixed"]}, {"task": new["task"], **new["fixed"]}):
        raise InputError(f"{path} holds a study with {field} = {before}, not {now}; {remedy}")
    if old["target"] != new["target"]:
        raise InputError(f"{path} has the target {old['target']}, not {new['target']}; `fidrace score --target` tries others")
    for method in old["methods"].keys() & new["methods"].keys():
        if old["methods"][method].get("hash") not in (None, new["methods"][method]["hash"]):
            raise InputError(f"the code of method {method!r} has changed since its runs in {path}; {remedy}")


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted names, old and new values of the leaves in which two nested tables differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{prefix}.{key}".lstrip("."))
    elif old != new:
        yield prefix, old, new

"""`--prove`: two more runs show what a trainer's seed fixes, and whether the adapter alone changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fidrace.errors import InputError
from fidrace.method.registry import Registry
from fidrace.spec.resolved_methods import ResolvedMethod
from fidrace.spec.study import Study
from fidrace.spec.trainer import TrainerTask, identity_of
from fidrace.spec.user_input import BASELINE
from fidrace.storage.atomic import Row, read_record, write_json
from fidrace.storage.study_folder import StudyFolder

FOLDER, FILE = "proof", "proof.json"


@dataclass(frozen=True)
class Proof:
    """Who holds `same chances` and `adapter inert`, and how that is known; `adapter` is None if the study's baseline already
    runs through the adapter."""

    chances: tuple[str, str]
    adapter: tuple[str, str] | None


def study_of_proof(study: Study) -> Study:
    """The baseline again with the first seed, and `baseline` through the adapter if the study's own is another."""
    assert isinstance(study.task, TrainerTask)
    names = dict.fromkeys([study.baseline, BASELINE])
    registry = Registry(study.methods_path)
    try:
        resolved = tuple(ResolvedMethod(name, *identity_of(name, study.task.trainer, registry)) for name in names)
    except InputError as error:
        raise InputError(f"--prove: {error}") from None
    return replace(study, resolved=resolved, seeds=study.seeds[:1], contrasts=())


def read_proof(folder: Path, rows: Sequence[Row]) -> Proof | None:
    """What --prove has shown of the code that made `rows`; None if it was another, or if nothing was shown."""
    path = folder / FILE
    if not path.exists():
        return None
    content = read_record(path, "remove it, and --prove writes it again")
    if content.get("of") != code_of(rows):
        return None
    adapter = content.get("adapter")
    return Proof(tuple(content["chances"]), tuple(adapter) if adapter else None)


def conclude_proof(study: Study, folder: StudyFolder, proof: StudyFolder) -> Proof:
    """Compare the runs of the proof with the study's own, and record what they show. Raises InputError if one has failed."""
    first = study.seeds[0]
    again = curve_of(proof, study.baseline, first)
    chances = compare(f"{study.baseline} seed {first} twice", curve_of(folder, study.baseline, first), again)
    adapter = None
    if study.baseline != BASELINE:
        through = curve_of(proof, BASELINE, first)
        adapter = compare(f"{BASELINE} through the adapter, and {study.baseline}", again, through)
    code = code_of([*folder.rows(), *proof.rows()])
    write_json(folder.path / FILE, {"of": code, "chances": chances, "adapter": adapter})
    return Proof(chances, adapter)


def code_of(rows: Sequence[Row]) -> list[str]:
    """The commands and the revisions of the trainer that made `rows`."""
    return sorted({f"{row.get('config_hash')} {row.get('revision')}" for row in rows})


def curve_of(folder: StudyFolder, method: str, seed: int) -> list[Row]:
    """The evaluations of one run; raises InputError if it has not finished."""
    for row in folder.rows():
        if (row["method"], row["seed"]) == (method, seed):
            if row["status"] == "finished":
                return folder.evaluations(row)
            raise InputError(f"--prove: {method} seed {seed} in {folder.path} is {row['status']}: {row['error']}")
    raise InputError(f"--prove: {method} seed {seed} has not run in {folder.path}")


def compare(what: str, one: Sequence[Row], other: Sequence[Row]) -> tuple[str, str]:
    """`measured` if two runs have the same distances to the last digit; else `unknown`, and where they part."""
    for mine, theirs in zip(one, other, strict=True):
        if mine["fd"] != theirs["fd"]:
            return "unknown", f"{what}: {float(mine['fd']):.6g} and {float(theirs['fd']):.6g} at step {mine['iteration']}"
    return "measured", f"{what}: equal to the last digit at {len(one)} steps"

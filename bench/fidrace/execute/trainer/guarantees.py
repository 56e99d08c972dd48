"""What the runs of a study with a trainer have in common, and who holds it: the harness, the trainer's own configuration, a
measurement, somebody's word, or nobody."""

from collections.abc import Iterator
from dataclasses import astuple

from fidrace.execute.trainer.proof import Proof, read_proof
from fidrace.score.provenance import COLUMNS, PROVENANCE, Guarantee
from fidrace.spec.study import Study
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.atomic import Row
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import write_table

Held = tuple[str, str, str]  # guarantee, held by, how


def write_provenance(study: Study, folder: StudyFolder) -> None:
    """Write provenance.csv for the runs so far."""
    assert isinstance(study.task, TrainerTask)
    rows = folder.rows()
    proof = read_proof(folder.path, rows)
    found = [
        Guarantee(study.task.name, row["method"], row["seed"], *held)
        for row in rows
        for held in guarantees_of(row, rows, study, study.task, proof)
    ]
    write_table(folder.path / PROVENANCE, [dict(zip(COLUMNS, astuple(one), strict=True)) for one in found], COLUMNS)


def guarantees_of(row: Row, rows: list[Row], study: Study, task: TrainerTask, proof: Proof | None) -> Iterator[Held]:
    """The guarantees of one run, beside the others."""
    trainer, seeded = task.trainer, "{seed}" in task.trainer.command
    yield (
        "same configuration",
        *(
            ("config", f"{trainer.config} of each run, without {', '.join(trainer.varies) or 'nothing'}")
            if trainer.config
            else ("unknown", "trainer.config names no record of what was run")
        ),
    )
    yield "same code", *same_code(rows)
    yield "same start", *same_start(row, rows, seeded, proof)
    yield "same chances", *(proof.chances if proof else by_seed(seeded))
    if row["method"] == study.baseline:
        yield "adapter inert", "harness", "its runs have no adapter"
    elif proof and proof.adapter:
        yield "adapter inert", *proof.adapter
    else:
        yield "adapter inert", "unknown", "--prove compares baseline through the adapter with the plain loop"
    yield "same grid", "harness", f"checkpoints at {len(task.budget.evaluation_steps())} steps that the study chose"
    if trainer.fid == "fidrace":
        yield "same evaluation", "harness", f"{trainer.samples} samples, latents by the run's seed, {trainer.ref}"
    else:
        yield "same evaluation", "said", "their own command measures"
    if isinstance(study.target, str):
        yield "target before", "unknown", "each baseline's final distance is known only when it has ended"
    elif study.target_how.startswith("post hoc"):
        yield "target before", "unknown", study.target_how
    else:
        yield "target before", "harness", study.target_how
    yield "all runs shown", "harness", "study.json lists them"
    yield (
        "average of weights",
        *(
            ("config", trainer.ema or "as the configuration says")
            if trainer.config
            else ("said", trainer.ema)
            if trainer.ema
            else ("unknown", "neither trainer.config nor trainer.ema says")
        ),
    )


def same_code(rows: list[Row]) -> tuple[str, str]:
    """Whether all runs were made from one git revision of the trainer's folder."""
    revisions = {row.get("revision") or "" for row in rows}
    if revisions == {""}:
        return "unknown", "the trainer's folder is in no git repository"
    if len(revisions) > 1:
        return (
            "unknown",
            f"{len(revisions)} revisions of the trainer: {', '.join(sorted(one[:12] or 'none' for one in revisions))}",
        )
    (revision,) = revisions
    if revision.endswith("-dirty"):
        return "said", f"git revision {revision[:12]} with changes, kept as source.diff"
    return "harness", f"git revision {revision[:12]}"


def by_seed(seeded: bool) -> tuple[str, str]:
    return ("said", "the command gets the run's seed") if seeded else ("unknown", "the command gets no seed")


def same_start(row: Row, rows: list[Row], seeded: bool, proof: Proof | None) -> tuple[str, str]:
    """Whether the runs of one seed start from one checkpoint of step 0, or would have to by what --prove has shown."""
    starts = {one.get("start_sha256") or "" for one in rows if one["seed"] == row["seed"]}
    if len(starts) == 1 and "" not in starts:
        return "measured", "equal checkpoints of step 0"
    if proof and all(held[0] == "measured" for held in (proof.chances, proof.adapter) if held):
        return "measured", "--prove: plain and adapted, one seed gives one curve"
    if "" in starts:
        return by_seed(seeded)
    return "unknown", "checkpoints of step 0 differ, in the weights or in what else they hold"

"""What the runs of a study with a trainer have in common, and who holds it: the harness, the trainer's own configuration, a
measurement, somebody's word, or nobody."""

from collections.abc import Iterator
from dataclasses import astuple

from fidrace.execute.trainer.proof import Proof, read_proof
from fidrace.score.provenance import COLUMNS, PROVENANCE, Guarantee
from fidrace.spec.command import fields_of
from fidrace.spec.study import Study
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.atomic import Row
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED, write_table

Held = tuple[str, str, str]  # guarantee, held by, how


def write_provenance(study: Study, folder: StudyFolder) -> None:
    """Write provenance.csv for the runs so far."""
    assert isinstance(study.task, TrainerTask)
    rows = [row for row in folder.rows() if row["status"] in ENDED]  # of others nothing is known
    proof = read_proof(folder.path, rows)
    found = [
        Guarantee(study.task.name, row["method"], row["seed"], *held)
        for row in rows
        for held in guarantees_of(row, rows, study, study.task, proof)
    ]
    write_table(folder.path / PROVENANCE, [dict(zip(COLUMNS, astuple(one), strict=True)) for one in found], COLUMNS)


def guarantees_of(row: Row, rows: list[Row], study: Study, task: TrainerTask, proof: Proof | None) -> Iterator[Held]:
    """The guarantees of one run, beside the others."""
    trainer = task.trainer
    seeded = "{seed}" in trainer.command or "{seed}" in trainer.arguments_of(row["method"])
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
    yield "seeds differ", *seeds_differ(row, rows)
    if row["method"] == study.baseline:
        yield "adapter inert", "harness", "its runs have no adapter"
    elif proof and proof.adapter:
        yield "adapter inert", *proof.adapter
    else:
        yield "adapter inert", "unknown", "not shown: --prove compares baseline through the adapter with the plain loop"
    yield "same grid", "harness", f"checkpoints at {len(task.budget.evaluation_steps())} steps that the study chose"
    yield "same evaluation", *same_evaluation(task)
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


def same_evaluation(task: TrainerTask) -> tuple[str, str]:
    """Who holds that all runs are measured alike: the harness, if it measures, and if no sampler is told of the method."""
    trainer = task.trainer
    told = {name for name in ("method", "arguments") if name in fields_of(trainer.evaluate)}
    if trainer.fid:
        return "said", "their own command measures"
    if told:
        return "unknown", f"the sampler is told the method, {{{min(told)}}}"
    if not {"first", "last", "seed"} & {*fields_of(trainer.evaluate)}:
        return "unknown", "the sampler gets no seed, neither {first} nor {last}"
    return "harness", f"{trainer.samples} samples, latents by the run's seed, {trainer.ref}"


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
    if "-dirty" in revision:
        return "said", f"git revision {revision[:12]} with changes, kept as source.diff"
    return "harness", f"git revision {revision[:12]}"


def seeds_differ(row: Row, rows: list[Row]) -> tuple[str, str]:
    """Whether a method's runs of different seeds ended in different checkpoints: a trainer that ignores its seed runs one thing
    several times, and its scatter is that of the samples alone."""
    same = [one["seed"] for one in rows if one["method"] == row["method"] and one.get("end_sha256") == row.get("end_sha256")]
    if len(same) > 1:
        return "unknown", f"seeds {', '.join(map(str, sorted(same)))} end in one checkpoint: the trainer ignores its seed"
    return "measured", "their last checkpoints differ"


def by_seed(seeded: bool) -> tuple[str, str]:
    return ("said", "the command gets the run's seed") if seeded else ("unknown", "the command gets no seed")


def same_start(row: Row, rows: list[Row], seeded: bool, proof: Proof | None) -> tuple[str, str]:
    """Whether the runs of one seed start from one checkpoint of step 0, or would have to by what --prove has shown."""
    beside = [one for one in rows if one["seed"] == row["seed"]]
    starts = {one.get("start_sha256") or "" for one in beside}
    if "" not in starts and len(beside) > 1:
        if len(starts) == 1:
            return "measured", "equal checkpoints of step 0"
        return "unknown", "checkpoints of step 0 differ, in the weights or in what else they hold"
    if proof and proof.adapter and proof.chances[0] == proof.adapter[0] == "measured":
        return "measured", "plain and adapted, one seed gives one curve (--prove)"
    return by_seed(seeded)

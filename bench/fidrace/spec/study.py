"""What is compared: a task, methods and seeds, resolved into run specs. Pure data.

A study names a task, methods and seeds, and may change fields of the task.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fidrace.errors import InputError, nearest
from fidrace.method.registry import Registry
from fidrace.spec.looks import Looks
from fidrace.spec.resolved_methods import ResolvedMethod, check_method_name, resolve_contrasts, resolve_methods
from fidrace.spec.study_file import StudyFile, find_study
from fidrace.spec.task import Task, load_task
from fidrace.spec.trainer import TrainerBudget, TrainerQuality, TrainerTask, baseline_of, identity_of, metric_of, reference_hash
from fidrace.spec.tuning import Tuning
from fidrace.spec.user_input import (
    BASELINE,
    Target,
    check_target,
    check_window,
    parse_contrast,
    parse_seeds,
    validate,
    window_edges,
)


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """Everything that a worker needs to execute one run. `target`: None if it is not known before the runs end; `window`: the
    ratio of targets around it."""

    task: Task | TrainerTask
    method: str
    seed: int
    method_hash: str
    methods_path: tuple[str, ...] = ()
    home: Path = Path()  # the folder of the run's study, relative to the folder of a series of studies
    target: float | None = None
    window: float = 1.0

    @property
    def edges(self) -> tuple[float, float] | None:
        """The highest and the lowest target that the study asks about, equal if there is one; None if that is not known."""
        return None if self.target is None else window_edges(self.target, self.window)

    @property
    def own_task(self) -> Task:
        """The task of a run that fidrace trains itself."""
        return own(self.task)

    @property
    def directory(self) -> Path:
        """The run's directory, relative to its study's DIR."""
        return run_directory(self.task.name, self.method, self.seed, self.task.fixed_hash(), self.method_hash)


def own(task: Task | TrainerTask) -> Task:
    """`task`, as one that fidrace trains; raises InputError for somebody else's trainer."""
    if isinstance(task, TrainerTask):
        raise InputError(f"{task.name} is a study of another trainer: this takes a task that fidrace trains itself")
    return task


def run_directory(task: str, method: str, seed: int, fixed_hash: str, method_hash: str) -> Path:
    """A run's directory, relative to its study's DIR."""
    identity = hashlib.sha256(f"{fixed_hash}{method_hash}".encode()).hexdigest()
    return Path("runs", task, method, f"seed-{seed}-{identity[:8]}")


@dataclasses.dataclass(frozen=True)
class Study:
    """A task, methods (the baseline first) and seeds; `target` is a number or baseline-final, `target_given` says whether
    the user or the study file named it, and so of the `window` around it and of the seeds; `contrasts` are pairs of a method
    and the control that it must beat; `until_decided`: the looks of a study that is raced until it is decided; `baseline`: the
    method that factors are measured against; `tuning_seeds`: those that methods were tuned with."""

    name: str
    task: Task | TrainerTask
    resolved: tuple[ResolvedMethod, ...]
    seeds: tuple[int, ...]
    target: Target
    target_how: str
    target_given: bool = False
    methods_path: tuple[str, ...] = ()
    baseline_added: bool = False
    contrasts: tuple[tuple[str, str], ...] = ()
    window: float = 1.0
    window_given: bool = False
    until_decided: Looks | None = None
    seeds_given: bool = False
    baseline: str = BASELINE
    tuning_seeds: tuple[int, ...] = ()

    @property
    def own_task(self) -> Task:
        """The task of a study that fidrace trains itself."""
        return own(self.task)

    @property
    def methods(self) -> tuple[str, ...]:
        """The canonical names."""
        return tuple(method.name for method in self.resolved)

    def specs(self) -> Iterator[RunSpec]:
        """All runs, seed by seed, so that an unfinished study has complete pairs."""
        target = None if isinstance(self.target, str) else float(self.target)
        for seed in self.seeds:
            for method in self.resolved:
                yield RunSpec(self.task, method.name, seed, method.hash, self.methods_path, target=target, window=self.window)


def define_study(
    source: str | Path,
    methods: Sequence[str] = (),
    seeds: str | int | Sequence[int] | None = None,
    budget: int | None = None,
    target: Target | None = None,
    changes: Mapping[str, Any] = {},
    methods_path: Sequence[str] = (),
    window: float | None = None,
    until_decided: Mapping[str, Any] | None = None,
    tuning: Tuning | None = None,
) -> Study:
    """The study that `source` (a task, a packaged study or a study's TOML file) and the options given beside it describe.

    Options win over the file, the file over the task's defaults. `seeds`: a count, a list, or either as --seeds has it.
    `until_decided`: fields of `Looks` that the user gave; the looks are then the seeds. `tuning`: methods are raced as it chose
    them, each also against the tuned baseline, and then those of `methods`. Raises InputError.
    """
    file, name = find_study(str(source))
    if file.trainer:
        ours = {"--set": bool(changes), "--until-decided": until_decided is not None, "--tuned": tuning is not None}
        for option, given in ours.items():
            if given:
                raise InputError(f"{option}: {name} is a study of another trainer, which has no such thing")
        return load_trainer_study(file, Path(source), methods, seeds, budget, target, methods_path, window)
    in_file = {} if file.budget is None else {"budget.iterations": file.budget}
    by_flag = {} if budget is None else {"budget.iterations": budget}
    merged = {**file.set, **in_file, **changes, **by_flag}
    task = load_task(file.task, merged)
    if task.remark and not is_as_packaged(task):  # which the remark is about
        task = task.model_copy(update={"remark": ""})
    names = (
        [*dict.fromkeys([*tuning.chosen.values(), *methods])] if tuning else methods or file.methods or task.defaults.methods
    )
    looks = find_looks(file, until_decided, seeds is not None, name)
    seeds_given = looks is None and (seeds is not None or file.seeds is not None)
    if looks:
        seeds = looks.last
    elif seeds is None:
        seeds = file.seeds if file.seeds is not None else task.defaults.seeds
    registry = Registry(methods_path)
    baseline = BASELINE if file.baseline is None else str(registry.compose(file.baseline))
    resolved = resolve_methods(names, registry, baseline)
    if tuning:
        resolved = tuple(dataclasses.replace(one, tuned_by=tuning.trials_of(one.name)) for one in resolved)
    if tuning or methods:
        pairs = tuning.contrasts() if tuning else ()
    else:
        pairs = file.contrasts or (() if file.methods else task.defaults.contrasts)
    contrasts = resolve_contrasts(pairs, registry, [method.name for method in resolved])
    value, how, target_given = resolve_target(target if target is not None else file.target, task)
    check_known_target(value, task)
    check_window(window)
    around = window if window is not None else file.window
    raced = list_seeds(seeds)
    if tuning:
        tuning.check(task, value, raced)
    if looks and len(resolved) < 2:
        raise InputError(f"{name}: the baseline alone has nothing to decide; name a method (-m)")
    return Study(
        name,
        task,
        resolved,
        raced,
        value,
        how,
        target_given,
        methods_path=tuple(str(Path(path).resolve()) for path in methods_path),
        baseline_added=len(resolved) > len(names),
        tuning_seeds=tuning.seeds if tuning else (),
        contrasts=contrasts,
        window=task.target.window if around is None else around,
        window_given=around is not None,
        until_decided=looks,
        seeds_given=seeds_given,
        baseline=baseline,
    )


def load_trainer_study(
    file: StudyFile,
    path: Path,
    methods: Sequence[str],
    seeds: str | int | Sequence[int] | None,
    budget: int | None,
    target: Target | None,
    methods_path: Sequence[str],
    window: float | None,
) -> Study:
    """The study of a file with [trainer], and of the options beside it. Raises InputError."""
    trainer, registry = file.trainer, Registry(methods_path)
    assert trainer
    trainer = trainer.model_copy(update={"source": (path.parent / (trainer.source or "")).resolve()})
    trainer.check()
    names = tuple(methods) or file.methods or ()
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a method is listed twice")
    baseline = baseline_of(file.baseline, file.methods or names)
    names = (baseline, *(name for name in names if name != baseline))
    resolved = tuple(ResolvedMethod(name, *identity_of(name, trainer, registry)) for name in names)
    for name in names:
        check_method_name(path, name)
    length = {"iterations": file.budget if budget is None else budget, "evaluations": file.evaluations or 8}
    grid = validate(TrainerBudget, length, f"{path}: budget")
    declared = file.target if file.target is not None else "baseline-final"
    said = f"declared in {path.name}" if file.target is not None else "each baseline's final distance"
    goal, how = (declared, said) if target in (None, declared) else (target, "post hoc: --target")
    check_target(goal)
    check_window(window)
    around = window if window is not None else file.window
    contrasts = tuple(map(parse_contrast, file.contrasts))
    for name in (name for pair in contrasts for name in pair):
        if name not in (file.methods or ()):
            raise InputError(f"{path}: contrasts: {name!r} is not among the methods{nearest(name, file.methods or ())}")
    contrasts = tuple(pair for pair in contrasts if {*pair} <= {*names})
    task = TrainerTask(
        name=path.stem,
        trainer=trainer,
        budget=grid,
        quality=TrainerQuality(metric=metric_of(trainer), samples=trainer.samples),
        ref_sha256=reference_hash(trainer),
    )
    return Study(
        path.stem,
        task,
        resolved,
        list_seeds(seeds if seeds is not None else 3 if file.seeds is None else file.seeds),
        goal,
        how,
        target is not None or file.target is not None,
        methods_path=tuple(str(Path(one).resolve()) for one in methods_path),
        contrasts=contrasts,
        window=1.0 if around is None else around,
        window_given=around is not None,
        seeds_given=seeds is not None or file.seeds is not None,
        baseline=baseline,
    )


def list_seeds(seeds: str | int | Sequence[int]) -> tuple[int, ...]:
    """A count, a list, or either as --seeds has it."""
    if not isinstance(seeds, str):
        seeds = str(seeds) if isinstance(seeds, int) else "".join(f"{seed}," for seed in seeds)
    return parse_seeds(seeds)


def find_looks(file: StudyFile, asked: Mapping[str, Any] | None, seeds_asked: bool, name: str) -> Looks | None:
    """The looks that the options ask for, else those of the file. Raises InputError if seeds are named too."""
    if asked is not None and seeds_asked:
        raise InputError("--seeds: with --until-decided the looks are the seeds, as in --looks 3,5,8; omit one of the two")
    if asked is None and file.until_decided and file.seeds is not None:
        raise InputError(f"{name}: the looks of [until_decided] are the seeds; leave `seeds` out")
    if asked is None:
        return None if seeds_asked else file.until_decided
    in_file = file.until_decided.model_dump(exclude_unset=True) if file.until_decided else {}
    return validate(Looks, {**in_file, **asked}, "--until-decided")


def is_as_packaged(task: Task) -> bool:
    """True if the fixed part is that of the packaged task of that name, whichever evaluations of its grid are measured."""
    return task.whole_grid().fixed_hash() == load_task(task.name).fixed_hash()


def resolve_target(given: Target | None, task: Task) -> tuple[Target, str, bool]:
    """The target, how it was set, and whether it was given; the task's own target is post hoc if the task is changed."""
    if given is not None:
        check_target(given)
        if given != task.target.fd:
            return given, "post hoc: --target", True
    unchanged = task.target.fd == "baseline-final" or is_as_packaged(task)
    how = task.target.how if unchanged else f"post hoc: set for the unchanged task {task.name}"
    return task.target.fd, how, given is not None


def check_known_target(target: Target, task: Task) -> None:
    """Raise InputError if runs are to stop at a target, or be searched for it, that is known only when they have ended."""
    if (field := task.budget.needs_target) and isinstance(target, str):
        raise InputError(f"budget.{field} needs a target that is known in advance, not {target}: give --target FD")


def refuse_partial_grid(study: Study, why: str) -> None:
    """Raise InputError if runs of the study leave evaluations of their grid out."""
    if field := study.task.budget.needs_target:
        raise InputError(f"budget.{field}: {why}; omit it")

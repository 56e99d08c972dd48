"""docs/tasks.md describes the study file completely, and its example is one."""

import re
from pathlib import Path

from fidrace.spec.study import define_study
from fidrace.spec.study_file import StudyFile
from fidrace.spec.task import load_task
from fidrace.spec.trainer import TrainerConfig

ROOT = Path(__file__).parents[1]
DOC = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
TRAINER_DOC = (ROOT / "docs/your-trainer.md").read_text(encoding="utf-8")
SECTION = DOC.partition("## A study file")[2].partition("\n## ")[0]
EXAMPLE, LOOKS = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)


def test_every_key_of_a_study_file_is_described_and_in_the_example(tmp_path: Path) -> None:
    described = [key.strip("[]") for key in re.findall(r"^\| `(\S+)` \|", SECTION, re.MULTILINE)]
    assert described == [*StudyFile.model_fields]
    for key in StudyFile.model_fields:
        assert re.search(rf"^(\[{key}\]|{key} =)", EXAMPLE + LOOKS + TRAINER_DOC, re.MULTILINE), key


def test_every_key_of_a_trainer_is_described_and_the_example_is_the_one_in_the_folder() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TRAINER_DOC, re.MULTILINE) == [*TrainerConfig.model_fields]
    (example,) = re.findall(r"```toml\n(.*?)```", TRAINER_DOC, re.DOTALL)
    text = (ROOT / "examples/diffusers.toml").read_text(encoding="utf-8")
    assert text.partition("\n")[2] == example
    study = define_study(ROOT / "examples/diffusers.toml")
    assert study.methods == ("native", "min-snr", "laplace")
    assert study.baseline == "native"


def test_the_example_of_a_study_file_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(EXAMPLE, encoding="utf-8")
    study = define_study(str(tmp_path / "mine.toml"))
    assert study.name == "mine"
    assert study.methods == ("baseline", "clts", "gaussian", "min-snr[gamma=1.0]", "clts+lr-decay")
    assert study.seeds == (0, 1, 2, 3, 4)
    assert (study.task.name, study.task.budget.iterations, study.target) == ("folder", 2000, 40.0)
    assert study.window == 1.2
    assert study.contrasts == (("clts", "gaussian"), ("clts+lr-decay", "clts"))
    assert study.task.data.root == Path("pictures").absolute()
    assert study.task.data.flip
    assert study.task.network.attention_resolutions == ()
    assert study.task.ema.decay == 0.995
    assert (load_task("folder").optimizer.warmup, study.task.optimizer.warmup) == (50, 0)
    assert study.task.ema_warning() is None


def test_the_example_of_looks_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(LOOKS, encoding="utf-8")
    study = define_study(str(tmp_path / "mine.toml"))
    assert study.until_decided is not None
    assert {*study.until_decided.model_fields_set} == {"looks", "spending", "futility"}
    assert study.until_decided.shares() == (0.3, 0.6, 1.0)
    assert study.seeds == tuple(range(12))


def test_the_numbers_of_folder_are_those_of_the_task() -> None:
    task = load_task("folder")
    intro = DOC.partition("## A folder of 200")[2]
    assert f"{task.budget.iterations:,} iterations of {task.optimizer.batch} images" in intro
    assert f"{len(task.defaults.methods)} methods × {task.defaults.seeds} seeds" in intro
    assert all(f"`{method}`" in intro for method in task.defaults.methods if method != "baseline")

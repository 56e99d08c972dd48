"""The command as a person meets it: a study from the first line to the tables, twice, stopped, extended, spoilt."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.storage.tables import GRADIENT
from tests.conftest import ENVIRONMENT, TINY, Fidrace, command_apart

ROOT = Path(__file__).parents[1]
METHODS = ("-m", "baseline", "-m", "clts+mdlrc", "-m", "uncertainty")
ONCE = (*TINY, "--set", "budget.evaluations=1")
STUDY = ("run", *TINY, *METHODS, "--seeds", "3", "--target", "117")
TABLES = (
    "study.json",
    "runs.csv",
    "evals.csv",
    "speedups.csv",
    "leaderboard.csv",
    "leaderboard.md",
    "guards.csv",
    "curve.csv",
    "fd.png",
    "speedup.png",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of 3 methods and 3 seeds on two workers; what it told is in `events` beside it."""
    folder = tmp_path_factory.mktemp("finished")
    done = command_apart([*STUDY, "--out", "study", "--workers", "2", "--json"], folder)
    assert done.returncode == 0, done.stderr
    (folder / "events").write_text(done.stdout)
    return folder / "study"


def test_a_study_leaves_the_files_of_the_contract(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} >= {*TABLES, "runs"}
    runs = sorted(finished.glob("runs/digits/*/seed-*"))
    assert len(runs) == 9
    assert all(
        (run / name).stat().st_size for run in runs for name in ("samples.png", "ema.safetensors", "evals.csv", "run.json")
    )
    assert not list(finished.rglob("checkpoint*"))
    evals = pd.read_csv(finished / "evals.csv")
    assert len(evals) == 9 * 5
    assert evals.drop(columns=[*GRADIENT]).notna().all().all()  # the gradient's norm is looked at every tenth iteration
    status = pd.read_csv(finished / "runs.csv")
    assert set(status["status"]) == {"finished"}
    assert status["config_hash"].nunique() == 1
    assert status["method_hash"].nunique() == 3


def test_a_finished_study_trains_nothing_and_leaves_every_table_byte_equal(finished: Path, fidrace: Fidrace) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in finished.rglob("*") if path.is_file()}
    said = fidrace(*STUDY, "--out", finished)
    assert "9 of 9 runs are done already" in said.stderr
    assert "uncertainty" in said.stdout
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert after == {path: content for path, (content, _) in before.items()}
    untouched = [path for path in before if "runs/" in str(path)]
    assert all(path.stat().st_mtime_ns == before[path][1] for path in untouched)


def runs_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in folder.rglob("run.json")]


def test_more_seeds_and_methods_extend_a_study_and_late_seeds_are_said(fidrace: Fidrace, tmp_path: Path) -> None:
    fidrace("run", *ONCE, "-m", "baseline", "--seeds", "2", "--out", "s")
    ended = {run["ended"] for run in runs_of(tmp_path / "s")}
    fidrace("run", *ONCE, "-m", "p2", "--seeds", "3", "--out", "s")
    runs = pd.read_csv(tmp_path / "s" / "runs.csv")
    found = sorted(zip(runs["method"], runs["seed"], strict=True))
    assert found == [(method, seed) for method in ("baseline", "p2") for seed in (0, 1, 2)]
    assert ended <= set(runs["ended"])
    assert "extended" in pd.read_csv(tmp_path / "s" / "leaderboard.csv").set_index("method").loc["p2", "flags"]


def test_json_is_one_object_per_line_and_nothing_else(finished: Path) -> None:
    events = [json.loads(line) for line in (finished.parent / "events").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("run_started") == kinds.count("run_ended") == 9
    assert kinds.count("evaluation") == 9 * 5
    assert kinds[-1] == "study_ended"
    assert events[-1]["failed"] == 0
    assert {row["method"] for row in events[-1]["leaderboard"]} == {"baseline", "clts+mdlrc", "uncertainty"}


def test_help_needs_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from fidrace.cli.main import app;"
        "result = CliRunner().invoke(app, ['--help']); assert result.exit_code == 0;"
        "print(sorted({'torch', 'pandas', 'scipy', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_methods_are_listed_without_their_tools_and_checked_without_the_compiler() -> None:
    code = (
        "import sys; from fidrace.method.registry import Registry; assert len(Registry().methods) > 50;"
        "print(sorted({'torch', 'scipy', 'pytorch_optimizer'} & set(sys.modules)));"
        "from fidrace.execute.preflight import check_methods; from fidrace.spec.study import define_study;"
        "check_methods(define_study('digits', ['immiscible'], '1')); print('torch._dynamo' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\nFalse\n"


def test_scoring_needs_no_torch(finished: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from fidrace.cli.main import app;"
        f"result = CliRunner().invoke(app, ['score', {str(finished)!r}]); assert result.exit_code == 0, result.output;"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_score_makes_the_tables_anew_from_the_two_csv_alone(finished: Path, fidrace: Fidrace, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("runs.csv", "evals.csv", "study.json"):
        (bare / name).write_bytes((finished / name).read_bytes())
    fidrace("score", bare)
    for name in ("speedups.csv", "leaderboard.csv", "leaderboard.md", "guards.csv", "curve.csv", "fd.png", "speedup.png"):
        assert (bare / name).read_bytes() == (finished / name).read_bytes(), name


def test_another_target_is_shown_post_hoc_and_leaves_the_tables(finished: Path, fidrace: Fidrace) -> None:
    before = (finished / "leaderboard.csv").read_bytes()
    said = fidrace("score", finished, "--target", "112")
    assert "post hoc" in said.stdout
    assert (finished / "leaderboard.csv").read_bytes() == before
    assert "each seed's baseline" in fidrace("score", finished, "--target", "baseline-final", "--axis", "seconds").stdout


def test_score_without_a_baseline_concludes_nothing(finished: Path, fidrace: Fidrace, tmp_path: Path) -> None:
    for name in ("runs.csv", "evals.csv"):
        lines = (finished / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(line for line in lines if ",baseline," not in line))
    assert "baseline" in fidrace("score", tmp_path, code=3).stderr


def test_a_study_file_is_raced_and_options_win_over_it(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('task = "digits"\nmethods = ["p2"]\nseeds = [4, 7]\n[set]\n"optimizer.lr" = 1e-3\n')
    said = fidrace("run", "mine.toml", "--seeds", "5,", "--dry-run")
    assert "mine: 2 methods x 1 seeds, 500 iterations" in said.stderr
    assert "baseline is added" in said.stderr
    assert not (tmp_path / "results").exists()


def test_tasks_and_studies_are_listed_with_what_they_race_and_printed(fidrace: Fidrace) -> None:
    listed = fidrace("tasks").stdout
    assert "scikit-learn's 1,797 real 8x8 digits" in listed
    assert "The methods of arXiv 2404.07946: the baseline, each of the" in listed
    assert "on digits, 10 seeds: baseline, clts, mdlrc, clts+mdlrc\n" in listed
    assert max(map(len, listed.splitlines())) < 80
    assert "[optimizer]" in fidrace("tasks", "digits").stdout
    assert fidrace("tasks", "paper").stdout == (ROOT / "studies" / "paper.toml").read_text()
    assert "no task or study 'papr'; did you mean 'paper'?" in fidrace("tasks", "papr", code=2).stderr


def verbs(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command of `fidrace`, itself first."""
    command = command or typer.main.get_command(app)
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*words, name))


VERBS = [words for words in verbs() if words[:1] != ("analyze",)]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words) or "fidrace")
def test_help_fits_eighty_columns_has_examples_and_no_python_types(words: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*words, "--help"], prog_name="fidrace")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    types = r"<(str|int|float|path|bool|list)|\b(TEXT|INTEGER|FLOAT|PATH|LIST)\b|[{}]|\[\["
    assert not re.search(types, result.stdout)
    assert not any(line.endswith("...") for line in lines if line.startswith("  "))  # every summary is whole
    examples = [line.split("  ")[1] for line in lines if line.startswith("    fidrace ")]
    assert 2 <= len(examples) <= 4


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words) or "fidrace")
def test_the_examples_in_help_name_commands_and_options_that_exist(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*words, "--help"], prog_name="fidrace").stdout.replace("\\\n", "")
    for example in re.findall(r"^    fidrace (.*?)(?:   |$)", text, flags=re.MULTILINE):
        command, rest = typer.main.get_command(app), shlex.split(example)
        if rest[0] == "COMMAND":
            continue
        while rest and hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, example


def test_the_version_is_that_of_the_package(fidrace: Fidrace) -> None:
    assert fidrace("--version").stdout == f"fidrace {metadata.version('fidrace')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_and_installed_without_a_shell_around(shell: str, fidrace: Fidrace, tmp_path: Path) -> None:
    script = fidrace("--show-completion", shell, environment={"SHELL": ""}).stdout
    assert f"_FIDRACE_COMPLETE=complete_{shell}" in script
    said = fidrace("--install-completion", shell, environment={"HOME": str(tmp_path), "SHELL": ""}).stdout
    assert f"{shell} completion installed" in said
    assert any(f"complete_{shell}" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_completion_completes_verbs_and_options(fidrace: Fidrace) -> None:
    def complete(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_FIDRACE_COMPLETE": "complete_bash"}
        return fidrace(environment=words).stdout.split()

    assert complete("fidrace sc") == ["score"]
    assert complete("fidrace check --max") == ["--max-regression"]


def test_completion_for_another_shell_is_refused_in_one_line(fidrace: Fidrace) -> None:
    said = fidrace("--show-completion", "csh", code=2).stderr
    assert "unknown shell 'csh' (choices: bash, zsh, fish)" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("run",), ("doctor", "digits"), ("methods", "clts", "--check"), ("analyze", "difficulty")], ids=" ".join
)
def test_what_needs_torch_says_in_one_line_how_to_get_it(words: tuple[str, ...], tmp_path: Path) -> None:
    code = "import sys, scipy.stats; sys.modules['torch'] = None; from fidrace.cli.main import main; main()"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs torch" in done.stderr
    assert done.stderr.endswith("pip install 'fidrace[train]'\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

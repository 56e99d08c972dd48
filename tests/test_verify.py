"""`fidrace verify`: an edited table is caught, by making the tables anew or by training runs again."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fidrace.score.retrained import compare
from fidrace.storage.tables import read_rows
from tests.conftest import TINY, Fidrace, Refused, command_here

ROOT = Path(__file__).parents[1]
PUBLISHED = sorted(path.parent for path in ROOT.glob("results/*/study.json"))
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with other settings than its task, a whole section among them."""
    folder = tmp_path_factory.mktemp("raced")
    done = command_here(
        ["run", *TINY, "--set", "speed.microbatch=8", "-m", "p2", "--seeds", "3", "--target", "119.5", "--out", "s"], folder
    )
    assert done.returncode == 0, done.stderr
    return folder / "s"


@pytest.fixture
def copy(raced: Path, tmp_path: Path) -> Path:
    """Tables alone, as they are published."""
    shutil.copytree(raced, tmp_path / "s", ignore=shutil.ignore_patterns("runs"))
    return tmp_path / "s"


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_every_published_table_follows_from_its_evaluations(folder: Path, fidrace: Fidrace) -> None:
    assert "its tables follow" in fidrace("verify", folder, "--tables-only").stdout


def test_what_no_table_can_show_is_put_before_the_reader(copy: Path, fidrace: Fidrace) -> None:
    """A target, window, budget or contrast of the study's own choice is no fault, and nobody may overlook it."""
    task = "those of the task digits\n"
    assert fidrace("verify", "digits", "--tables-only").stdout.endswith(task)
    assert "task digits: contrasts of its own: clts/rev" in fidrace("verify", "digits-controls", "--tables-only").stdout
    said = fidrace("verify", copy, "--tables-only").stdout
    assert "it declares otherwise than the task digits: budget." in said
    assert "budget.iterations is 12, not 500" in said
    assert "speed.microbatch is 8, not None; the target is 119.5 (post hoc" in said
    edit_study(copy, contrasts=[["p2", "baseline"]], declared_seeds=[0, 1])
    said = fidrace("verify", copy, "--tables-only", code=1).stdout
    assert "contrasts of its own: p2/baseline" in said
    assert "seeds 2 were added after the first run" in said
    everywhere(copy, "digits,", "elsewhere,")
    edit_study(copy, task="elsewhere", until_decided=LOOKS, contrasts=[["p2", "\x1b[31mred"]])
    said = fidrace("verify", copy, "--tables-only", code=1).stdout
    assert "elsewhere is no task of this fidrace" in said
    edit_study(copy, task="digits")
    everywhere(copy, "elsewhere,", "digits,")
    said = fidrace("verify", copy, "--tables-only", code=1).stdout
    assert "raced until decided, with looks at 3, 4 seeds" in said
    assert "p2/\\x1b[31mred" in said  # whatever is written there cannot steer a terminal


def test_runs_that_are_trained_again_give_every_digit(copy: Path, fidrace: Fidrace) -> None:
    said = fidrace("verify", copy, "--seed", "1", "--runs", "2", "--out", "again")
    assert said.stdout.count("all 84 measured values are equal to the last digit") == 2
    assert "2 of them there already" in fidrace("verify", copy, "--seed", "1", "--runs", "2", "--out", "again").stderr


def edit_cell(folder: Path, table: str, column: str, row: int, change: Callable[[str], str]) -> None:
    path = folder / table
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    before = cells.loc[row, column]
    cells.loc[row, column] = change(before)
    assert cells.loc[row, column] != before
    cells.to_csv(path, index=False)


def last_digit(text: str) -> str:
    return text[:-1] + str((int(text[-1]) + 1) % 10)


def edit_study(folder: Path, **changes: object) -> None:
    path = folder / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop_seed(folder: Path) -> None:
    for name in ("runs.csv", "evals.csv"):
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        table[table["seed"] != "1"].to_csv(folder / name, index=False)


def drop_evaluations(folder: Path, method: str, seed: str, *iterations: str) -> None:
    table = pd.read_csv(folder / "evals.csv", dtype=str, keep_default_na=False)
    gone = (table["method"] == method) & (table["seed"] == seed)
    gone &= table["iteration"].isin(iterations) if iterations else True
    table[~gone].to_csv(folder / "evals.csv", index=False)


def everywhere(folder: Path, old: str, new: str) -> None:
    for path in folder.glob("*.csv"):
        path.write_text(path.read_text().replace(old, new))


def edit_fixed(folder: Path, **changes: dict[str, object]) -> None:
    """Changes of the fixed part, with the hashes of it made anew."""
    study = json.loads((folder / "study.json").read_text())
    fixed = study["fixed"] | {name: study["fixed"].get(name, {}) | value for name, value in changes.items()}
    new = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
    everywhere(folder, study["fixed_hash"], new)
    edit_study(folder, fixed=fixed, fixed_hash=new)


LOOKS = {"looks": [3, 4], "spending": [0.5, 1.0], "levels": [0.01, 0.02]}


def edit_method(folder: Path, name: str, **facts: object) -> None:
    methods = json.loads((folder / "study.json").read_text())["methods"]
    edit_study(folder, methods=methods | {name: methods[name] | facts})


def rename(folder: Path) -> None:
    for name in ("runs.csv", "evals.csv"):
        path = folder / name
        path.write_text(path.read_text().replace(",p2,", ",min-snr,"))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda at: edit_cell(at, "evals.csv", "fd", 1, lambda text: f"{float(text) - 1}"), "guards.csv: p2"),
        (lambda at: edit_cell(at, "speedups.csv", "ci_low", 0, lambda text: "1.5"), "speedups.csv: p2 iterations"),
        (lambda at: edit_cell(at, "leaderboard.csv", "verdict", 1, lambda text: "faster"), "leaderboard.csv: p2"),
        (
            lambda at: (at / "leaderboard.md").write_text((at / "leaderboard.md").read_text().replace("p2", "P2", 1)),
            "leaderboard.md: line",
        ),
        (drop_seed, "runs.csv: p2 has no run of seed 1, which study.json lists"),
        (lambda at: edit_study(at, target=119.0), "speedups.csv: p2"),
        (rename, "runs.csv: min-snr is no method of study.json"),
        (lambda at: edit_study(at, fixed_hash="0" * 64), "`fixed` is not what `fixed_hash`"),
        (lambda at: edit_cell(at, "runs.csv", "method_hash", 4, last_digit), "was run with other code than study.json says"),
        (lambda at: edit_cell(at, "runs.csv", "config_hash", 2, last_digit), "has another fixed part than study.json"),
        (lambda at: edit_study(at, fixed_hash=""), "study.json: no fixed_hash"),
        (lambda at: edit_study(at, metric="fid"), "study.json: metric is fid, and fd_digits follows from `fixed`"),
        (lambda at: edit_study(at, budget=16), "study.json: budget is 16, and 12 follows from `fixed`"),
        (lambda at: edit_study(at, evaluations_at=[0, 12]), "study.json: evaluations_at is [0, 12], and [0, "),
        (lambda at: edit_method(at, "p2", horizon=True), "study.json: horizon of p2 is True, and False by its code"),
        (lambda at: edit_method(at, "p2", evidence="inferred"), "study.json: evidence of p2 is inferred, and published by"),
        (lambda at: edit_method(at, "p2", axes=["seconds"]), "study.json: axes of p2 is ['seconds'], and [] by its code"),
        (lambda at: edit_study(at, seeds=[0, 1]), "is there, and study.json lists no such seed"),
        (lambda at: drop_evaluations(at, "p2", "2"), "evals.csv: p2 seed 2 finished, and has no evaluations"),
        (lambda at: edit_method(at, "p2", hash=None, evidence="inferred"), "study.json: no hash of p2's code"),
        (lambda at: edit_cell(at, "runs.csv", "method_hash", 1, lambda text: ""), " has no method_hash"),
        (lambda at: edit_study(at, declared_seeds=[0, 1, 2, 3]), "p2 has no run of seed 3, which study.json lists"),
        (lambda at: edit_study(at, until_decided=LOOKS) or drop_seed(at), "p2 has no run of seed 1, which study.json lists"),
        (lambda at: edit_cell(at, "runs.csv", "status", 3, lambda text: "running"), " is running: a run that has not ended is"),
        (lambda at: drop_evaluations(at, "p2", "2", "12"), "evals.csv: p2 seed 2 finished without its evaluation at 12"),
        (lambda at: edit_cell(at, "evals.csv", "iteration", 2, lambda text: "7"), "was evaluated at 7, where the study has no"),
        (lambda at: everywhere(at, "fd_digits", "fid_inception"), "a metric is fid_inception, and study.json has fd_digits"),
        (lambda at: edit_fixed(at, trainer={}, budget={"iterations": 16}), "study.json: budget is 12, and 16 follows"),
        (lambda at: (at / "guards.csv").unlink(), "guards.csv: missing"),
        (lambda at: (at / "speedups.csv").write_text(""), "speedups.csv: it is empty"),
        (lambda at: (at / "speedups.csv").write_text("a" * 200_000), "speedups.csv: cannot be read: field larger than"),
        (lambda at: (at / "curve.csv").write_bytes(b"\xff" + (at / "curve.csv").read_bytes()), "curve.csv: "),
    ],
)
def test_an_edit_that_the_tables_show_is_named(edit: Edit, named: str, copy: Path, fidrace: Fidrace) -> None:
    edit(copy)
    assert named in fidrace("verify", copy, "--tables-only", code=1).stdout


def test_a_digit_that_no_table_shows_is_found_by_training_again(copy: Path, fidrace: Fidrace) -> None:
    evals = pd.read_csv(copy / "evals.csv", dtype=str)
    (row,) = evals.index[(evals["method"] == "p2") & (evals["seed"] == "2") & (evals["iteration"] == "8")]
    edit_cell(copy, "evals.csv", "val_loss_bin3", row, last_digit)
    assert "its tables follow" in fidrace("verify", copy, "--tables-only").stdout
    said = fidrace("verify", copy, "--seed", "5", "--runs", "6", "--out", "again", code=1).stdout
    assert said.count("measured values are equal to the last digit\n") == 5
    (found,) = (line for line in said.splitlines() if line.startswith("  differs: "))
    assert found.startswith("  differs: iteration 8: val_loss_bin3 is ")
    assert said.count("  published: cpu ") == 1


def test_a_method_that_was_renamed_everywhere_is_found_by_its_code_or_its_runs(copy: Path, fidrace: Fidrace) -> None:
    for name in ("runs.csv", "evals.csv", "study.json", *(path.name for path in copy.glob("*.csv")), "leaderboard.md"):
        path = copy / name
        path.write_text(path.read_text().replace("p2", "min-snr"))
    said = fidrace("verify", copy, "--tables-only").stdout  # what follows from the tables is consistent
    assert "the code has changed since, so their runs are not trained again: min-snr" in said


def test_what_rounding_may_do_is_told_from_what_it_may_not() -> None:
    """Published on another kind of CPU: everything is off by a little, and one number by more."""
    rows = read_rows(ROOT / "results/digits/evals.csv")
    run = [row for row in rows if (row["method"], row["seed"]) == ("p2", "0")]

    def elsewhere(by: float, **edited: float) -> list[str]:
        moved = [
            row
            if row["iteration"] == "0"
            else row | {name: repr(float(row[name]) * (1 + by)) for name in row if name.startswith(("fd", "val_loss"))}
            for row in run
        ]
        moved[4] |= {name: repr(float(moved[4][name]) + value) for name, value in edited.items()}
        return compare(moved, run).faults()

    assert elsewhere(3e-8) == []
    assert len(elsewhere(3e-8, fd=1.0)) == 1
    assert len(elsewhere(3e-8, val_loss=0.001)) == 1
    assert len(elsewhere(3e-8, recall=0.03)) == 1
    assert len(elsewhere(0, recall=0.002)) == 1  # the same arithmetic leaves nothing to rounding
    assert len(elsewhere(0.01)) > 50
    assert len(elsewhere(3e-8, fd=1.0, fd_se=float("inf"))) == 2  # an infinite error allows nothing
    assert (
        "column recall is not there" in compare([{k: v for k, v in row.items() if k != "recall"} for row in run], run).faults()
    )
    newer = [row | {"grad_norm": "1.0", "grad_norm_max": "1.5"} for row in run]
    assert compare(run, newer).faults() == []  # published before there were such columns, as results/digits was
    assert compare([row | {"grad_norm": "1.0"} for row in run], newer).faults() == ["column grad_norm_max is not there"]
    assert compare([], run).faults() == ["it has no evaluations"]
    assert compare(run, run[:-1]).faults() == [f"iteration {run[-1]['iteration']} is in one of both only"]


def edited_budget(folder: Path) -> Path:
    shutil.copytree(folder, other := folder.parent / "other")
    edit_fixed(other, budget={"iterations": "many"})
    return other


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "--seed: draw the runs by a number of your own"),
        (("--seed", "1", "--runs", "0"), "write a count from 1"),
        (("--seed", "-1"), "a number from 0"),
        (("--seed", "1", "--runs", "500"), "has 80 that can be trained again"),
        (("--seed", "1", "--set", "optimizer.lr=1"), "optimizer.lr was 0.003"),
    ],
)
def test_wrong_words_are_one_line(words: tuple[str, ...], named: str, fidrace: Fidrace) -> None:
    done = fidrace("verify", "digits", *words, code=3 if "--set" in words else 2)
    assert named in done.stderr.splitlines()[-1]


def test_a_folder_that_lacks_what_it_needs_is_one_line(copy: Path, refused: Refused, fidrace: Fidrace) -> None:
    with_budget = fidrace("verify", edited_budget(copy), "--tables-only", code=2).stderr
    assert "study.json: fixed.budget: iterations: Input should be a valid integer" in with_budget
    edit_study(copy, methods=json.loads((copy / "study.json").read_text())["methods"] | {"absent": {"hash": "1"}})
    assert "unknown method 'absent'" in fidrace("verify", copy, "--tables-only", code=2).stderr
    (copy / "study.json").unlink()
    assert "no study.json" in refused("verify", copy, "--tables-only")
    assert "no folder or published tables 'dgits'" in refused("verify", "dgits", "--seed", "1")

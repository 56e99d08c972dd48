"""Tables in other dress: spreadsheets, logs, gaps, and rows without sense."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.score.leaderboard import score_folder
from tests.conftest import Fidrace, Refused
from tests.foreign import SCATTER, first, races, run, write


def test_a_spreadsheet_in_german_says_the_same(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = first(score_folder(write(tmp_path / "plain", rows), 10.0))
    german = pd.DataFrame(rows).assign(
        step=lambda table: table["step"].map(lambda n: f"{n:,}".replace(",", ".")),
        fid=lambda table: table["fid"].map(lambda fid: f"{fid:,.12f}".translate({ord(","): ".", ord("."): ","})),
    )
    text = "# exported by hand\n" + german.to_csv(index=False, sep=";")
    (tmp_path / "german").mkdir()
    (tmp_path / "german" / "evals.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    done = fidrace("score", "german", "--target", "10")
    assert "semicolons between cells and commas as decimal points" in done.stderr
    row = first(score_folder(tmp_path / "german", 10.0))
    assert row["speedup"] == pytest.approx(plain["speedup"], rel=1e-9)
    mixed = text.replace("\r", "").replace(german["fid"][0], "0.98", 1)
    (tmp_path / "german" / "evals.csv").write_text(mixed)
    assert "0.98 has a decimal point, and other numbers have decimal commas" in fidrace("score", "german", code=2).stderr


GOOD = [
    "method,seed,step,fid",
    *(f"{m},{s},{n},{100 - n / 10 - s}" for m in ("baseline", "m") for s in (0, 1) for n in (0, 400, 800)),
]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("m,1,800,19.5", "two different rows for m seed 1 at step 800 (lines 13 and 14); of a log that was restarted keep"),
        ("m,1,,19.5", "line 14: step is blank"),
        ("m,1,inf,19.5", "line 14: step is inf"),
        ("m,1,-5,19.5", "line 14: step is -5"),
        ("m,1,900,-1", "m seed 1 has a distance below 0"),
        ('m,1,900,"1.234,5"', "line 14: fid is '1.234,5', not a number; write it with a decimal point"),
        ("m,1.5,900,3", "line 14: a seed is a whole number from 0 or blank, not 1.5"),
        ("=cmd(),1,900,3", "'=cmd()' cannot be a method"),
        ("m,1,900,3,4", "not a CSV file"),
        ("m,1,1e300,3", "step = 1e+300 is too large"),
    ],
)
def test_a_row_without_sense_is_named_by_its_line_and_nothing_is_written(
    line: str, named: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "evals.csv").write_text("\n".join([*GOOD, line]) + "\n")
    assert named in refused("score", tmp_path, "--target", "50")
    assert [path.name for path in tmp_path.iterdir()] == ["evals.csv"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("method;step;fid\nbaseline;250;20\nbaseline;1.000;9\n", "line 3: step is 1.000: a thousand or a fraction?"),
        ("method;step;fid;lr\nbaseline;250;20.125;0,1\nbaseline;500;9.362;0,1\n", "line 2: fid is 20.125: a thousand or"),
        ("method,seed,step,fid\nbaseline,13298127398127398127,1,9\n", "is too large to be told apart"),
        ("method,seed,step,fid\nbaseline,-1,1,9\n", "a seed is a whole number from 0 or blank, not -1"),
    ],
)
def test_what_may_mean_two_things_is_refused(text: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "evals.csv").write_text(text)
    assert named in refused("score", tmp_path, "--target", "10")


def test_blank_and_equal_descriptions_spaces_and_old_line_ends_make_no_difference(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = score_folder(write(tmp_path / "plain", rows), 10.0).speedups
    dressed = [
        {**row, "method": f"{row['method']} ", "n": "", "cfg": k % 2 or "1.0", "metric": ""} for k, row in enumerate(rows)
    ]
    folder = write(tmp_path / "dressed", dressed)
    (folder / "evals.csv").write_text((folder / "evals.csv").read_text().replace("\n", "\r"))
    pd.testing.assert_frame_equal(score_folder(folder, 10.0).speedups, plain)


def test_a_task_of_ours_by_name_does_not_lend_its_budget(tmp_path: Path) -> None:
    rows = [{**row, "task": "digits"} for row in races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})]
    scores = score_folder(write(tmp_path / "s", rows), 10.0)
    assert (first(scores)["reached"], scores.rules.budget) == (3, np.inf)


def test_runs_and_axes_of_which_nothing_was_measured_are_told(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:4], "m": [1.5 * pace for pace in SCATTER[:4]]})
    rows = [{**row, "train_seconds": row["step"] / 100 if row["method"] == "m" else ""} for row in rows]
    rows = [{**row, "fid": ""} if (row["method"], row["seed"]) == ("m", 3) else row for row in rows]
    folder = write(tmp_path / "s", rows)
    assert "1 without evaluations" in first(score_folder(folder, 10.0))["flags"]
    shown = fidrace("score", folder, "--target", "10", "--axis", "seconds").stdout
    assert "not measured" in shown
    assert "4 without seconds" in " ".join(shown.split())


def test_guards_are_paired_as_the_factor_is(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:5]}) + [
        {**row, "seed": row["seed"] + 4} for row in races({"m": [1.5 * pace for pace in SCATTER[:5]]})
    ]
    rows = [{**row, "recall": (0.8 if row["method"] == "baseline" else 0.6) + row["seed"] / 1000} for row in rows]
    assert "loses recall" in first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))["flags"].split("; ")


def test_units_that_are_mixed_are_refused_by_their_columns(refused: Refused, tmp_path: Path) -> None:
    lines = ["method,step,kimg,fid", "baseline,100,,50", "baseline,200,,40", "m,,6.4,50", "m,,12.8,30"]
    (tmp_path / "evals.csv").write_text("\n".join(lines))
    assert "line 4: step is blank, and kimg is 6.4: convert all rows to one unit" in refused(
        "score", tmp_path, "--target", "45"
    )


def test_rows_out_of_order_are_sorted_and_said(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": SCATTER[:3]})
    plain = score_folder(write(tmp_path / "plain", rows), 10.0).speedups
    write(tmp_path / "shuffled", [*rows[30:], *rows[:30]])
    said = fidrace("score", "shuffled", "--target", "10").stderr
    assert "the rows of baseline seed 0 are not in the order of training, first on line" in said
    shuffled = score_folder(tmp_path / "shuffled", 10.0).speedups
    pd.testing.assert_frame_equal(plain, shuffled)


def test_blank_distances_of_a_training_log_are_no_evaluations(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = score_folder(write(tmp_path / "s", rows), 10.0).speedups
    log = [part for row in rows for part in ({**row, "step": row["step"] - 5_000, "fid": ""}, row)]
    pd.testing.assert_frame_equal(score_folder(write(tmp_path / "s", log), 10.0).speedups, plain)


def test_runs_without_a_seed_are_one_chance_each(tmp_path: Path, refused: Refused) -> None:
    rows = run("baseline", 10_000, 600_000) + run("m", 10_000, 600_000, 1.5)
    row = first(score_folder(write(tmp_path / "s", rows), 10.0))
    assert (row["pairs"], np.isnan(row["ci_low"]), row["speedup"]) == (0, True, pytest.approx(1.5, rel=1e-3))
    assert "fewer than 3 runs a side; unpaired" in row["flags"]
    twice = [*rows, *run("m", 10_000, 600_000, 1.6)]
    assert "if they are of two runs, tell them apart in a column seed" in refused(
        "score", write(tmp_path / "t", twice), "--target", "10"
    )


def test_a_million_rows_are_read_in_moments(tmp_path: Path) -> None:
    """One pass over the text: a table a hundred times as long takes about a hundred times as long, not ten thousand."""
    n = np.arange(0, 1_000_000)
    fid = 5 + 295 * (1 + n / 20_000.0) ** -1.5
    table = pd.DataFrame({"method": np.where(n < 500_000, "baseline", "m"), "step": n % 500_000, "fid": fid})
    (tmp_path / "s").mkdir()
    table.to_csv(tmp_path / "s" / "evals.csv", index=False)
    assert first(score_folder(tmp_path / "s", 6.0))["method"] == "m"

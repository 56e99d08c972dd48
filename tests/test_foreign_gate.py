"""The gate on other people's tables: dead runs, slower on both sides, unlike grids."""

from pathlib import Path

from tests.conftest import Fidrace, Refused
from tests.foreign import SCATTER, races, run, with_statuses, write


def test_a_method_that_is_dead_in_two_of_three_seeds_fails_the_gate(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    folder = with_statuses(tmp_path / "s", rows)
    ask = ("check", folder, "--target", "10", "--require", "m>=1.1", "--paired")
    fidrace(*ask)
    dead = [{**row, "fid": 300.0 + row["step"] / 1e4} if row["method"] == "m" and row["seed"] else row for row in rows]
    with_statuses(folder, dead)
    assert "2 of 3 runs diverged or end no lower than they" in " ".join(fidrace(*ask, code=1).stdout.split())
    with_statuses(folder, rows, {("m", 0): "diverged"})
    fidrace(*ask, code=1)


def test_two_sides_that_both_slow_down_hold_their_factor_and_fail_the_absolute_gate(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.3 * pace for pace in SCATTER[:5]]}
    before = with_statuses(tmp_path / "before", races(paces))
    now = with_statuses(
        tmp_path / "now", races({name: [pace / 1.5 for pace in one] for name, one in paces.items()}, end=900_000)
    )
    ask = ("check", now, "--against", before, "--target", "10", "--paired")
    fidrace(*ask)
    failed = fidrace(*ask, "--absolute", code=1).stdout
    assert "baseline itself slows" in failed
    assert "m itself slows" in failed
    assert failed.count("✗") == 2
    fidrace("check", before, "--against", before, "--target", "10", "--paired", "--absolute")
    assert "give --against" in fidrace("check", now, "--require", "m>=1", "--absolute", code=2).stderr


def test_a_gate_between_unlike_grids_or_measures_does_not_judge_by_them(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:5]]}
    before, now = (  # without noise, so that the grids alone make the difference
        with_statuses(
            tmp_path / name,
            [
                row
                for method, one in paces.items()
                for seed, pace in enumerate(one)
                for row in run(method, step, 640_000, pace, seed)
            ],
        )
        for name, step in (("before", 10_000), ("now", 80_000))
    )
    ask = ("check", now, "--against", before, "--target", "10", "--paired", "--max-regression", "0.1%")
    said = fidrace(*ask, "--absolute").stdout
    assert said.count("cannot tell") == 3 + 1  # m's factor, both costs, and the last line
    assert "evaluated at different iterations" in " ".join(said.split()).replace("│ ", "")
    with_statuses(now, [{**row, "num_samples": 5000} for row in races(paces)])
    assert "num_samples is 5000 in" in fidrace(*ask, code=2).stderr
    final = fidrace("check", before, "--against", before, "--absolute", "--paired", "--target", "baseline-final", code=2)
    assert "the target moves with the baseline" in final.stderr


def test_a_gate_counts_failed_and_copied_runs_as_the_table_does(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:5]]}
    rows = races(paces)
    before = with_statuses(tmp_path / "before", rows)
    lost = with_statuses(tmp_path / "lost", rows, {("m", 0): "failed", ("baseline", 1): "failed"})
    ask = ("--against", before, "--target", "10", "--paired", "--absolute")
    said = fidrace("check", lost, *ask, code=3).stdout
    assert "holds" not in said
    one = [{**row, "seed": seed} for seed in range(4) for row in rows if row["seed"] == 0]
    assert "not measured" in fidrace("check", with_statuses(tmp_path / "one", one), *ask, code=3).stdout


def test_foreign_tables_are_not_merged_by_halves(refused: Refused, tmp_path: Path) -> None:
    folders = [write(tmp_path / name, run("baseline", 10_000, 60_000)) for name in "ab"]
    assert "runs.csv" in refused("merge", *folders, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""A target that evaluations cannot tell from the next is named, with the samples that it takes."""

import json
from pathlib import Path

import pytest

from fidrace.score.leaderboard import score_folder
from tests.curves import DECLARED, curve, write

FALLING = (80, 40, 20, 10, 8, 7)


def remarks(folder: Path, se: float, quality: dict[str, object] = {}) -> list[str]:
    write(folder, [curve(*FALLING, se=se, method=method, seed=seed) for method in ("baseline", "m") for seed in range(3)])
    evals = folder / "evals.csv"
    evals.write_text(evals.read_text().replace(",0.1,", f",{se},"))
    (folder / "study.json").write_text(json.dumps(DECLARED | {"fixed": {"quality": quality}}))
    return [remark for remark in score_folder(folder).remarks if "standard error" in remark]


def test_an_error_of_a_twentieth_at_the_target_is_fine(tmp_path: Path) -> None:
    assert remarks(tmp_path, 0.5) == []


@pytest.mark.parametrize("extrapolate", [False, True])
def test_a_larger_one_is_said_with_the_samples_that_halve_it(extrapolate: bool, tmp_path: Path) -> None:
    (said,) = remarks(tmp_path, 1.0, {"samples": 100, "extrapolate": extrapolate})
    assert said.startswith("at 10 the standard error of an evaluation is 10.0 % of the distance")
    assert "--set quality.samples=400" in said
    assert ("quality.extrapolate" in said) != extrapolate


def test_tables_that_do_not_say_how_many_samples_they_took_get_no_number(tmp_path: Path) -> None:
    (said,) = remarks(tmp_path, 1.0)
    assert "quality." not in said

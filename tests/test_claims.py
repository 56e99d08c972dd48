"""Claims: the protocol's words for an interval beside a claimed factor, and evidence kept apart from verdicts."""

import json
from pathlib import Path

import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.score.claims import load_claims, verdict_word, verdicts_on
from fidrace.spec.task import load_task
from tests.conftest import Fidrace, Refused
from tests.curves import study, write
from tests.published import DIGITS, excerpt, silently_the_baseline, without_study

CLAIM = """
[[claim]]
id = "mine"
paper = "a test"
task = "{task}"
method = "{method}"
axis = "iterations"
target = {target}
factor = {factor}
read_in = "its table 1"
"""


def claims(folder: Path, task: str = "digits", method: str = "min-snr", target: str = "34.0", factor: float = 1.2) -> Path:
    path = folder / "claims.toml"
    path.write_text(CLAIM.format(task=task, method=method, target=target, factor=factor))
    return path


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (2.1, 2.5, ("exceeded", "")),
        (2.1, float("inf"), ("exceeded", "")),
        (1.5, 2.5, ("consistent", "")),
        (1.1, 2.5, ("consistent", "wide")),
        (2.0, 2.0, ("consistent", "")),
        (1.2, 1.9, ("smaller", "")),
        (0.9, 1.9, ("refuted", "")),
        (1.0, 1.9, ("refuted", "")),
        (0.5, 0.9, ("refuted", "slower")),
        (0.0, 0.9, ("refuted", "slower")),
        (0.9, 2.5, ("inconclusive", "")),
        (0.0, float("inf"), ("inconclusive", "")),
        (float("nan"), float("nan"), ("inconclusive", "")),
    ],
)
def test_an_interval_beside_a_claimed_two(low: float, high: float, said: tuple[str, str]) -> None:
    assert verdict_word(low, high, 2.0) == said


def test_the_packaged_claims_are_those_of_three_papers_with_where_they_were_read() -> None:
    known = {claim.id: (claim.method, claim.factor, claim.axis, claim.target) for claim in load_claims()}
    assert known == {
        "clts-mdlrc-cifar10": ("clts+mdlrc", 2.0, "iterations", "baseline-final"),
        "clts-mdlrc-imagenet128": ("clts+mdlrc", 2.6, "iterations", "baseline-final"),
        "min-snr-imagenet256": ("min-snr", 3.4, "iterations", "baseline-final"),
        "speed-various": ("speed", 3.0, "iterations", "baseline-final"),
    }
    assert all(claim.read_in and "arXiv" in claim.paper for claim in load_claims())


def test_what_was_not_run_says_what_would_decide_it(fidrace: Fidrace) -> None:
    said = " ".join(fidrace("claims").stdout.replace("│", " ").split())
    assert said.count("not run") == 4
    for task in ("cifar10", "imagenet128"):
        assert f"fidrace run {task} -m 'clts+mdlrc' --seeds 10 && fidrace claims results/local/{task}" in said
    assert said.count("yet: it takes") == 2
    # 2 methods x 3 seeds x 510,000 iterations of 256 images at 25 images a second, and at a third of the work 52 evaluations of
    # 10,000 samples and one of 50,000, in 50 steps each
    drawn = (52 * 10_000 + 50_000) * 50
    assert f"{2 * 3 * (510_000 * 256 + drawn / 3) / 25 / 3600:,.0f} V100-hours for 3 seeds" in said


def test_a_claim_on_another_task_gets_evidence_and_no_verdict(fidrace: Fidrace, tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", ("baseline", "min-snr", "clts+mdlrc"), seeds=tuple(range(10)))
    said = fidrace("claims", folder).stdout
    assert "evidence from elsewhere" in said
    table = pd.read_csv(folder / "claims.csv").set_index(["id", "verdict", "target"])
    assert set(table.index.get_level_values("verdict")) == {"not run", "evidence"}
    ours = table.loc["min-snr-imagenet256", "evidence", "34.0"]
    published = pd.read_csv(DIGITS / "speedups.csv").set_index(["method", "axis"]).loc["min-snr", "iterations"]
    assert (ours["claimed"], ours["measured_on"], ours["pairs"]) == (3.4, "digits", 10)
    assert ours["measured"] == pytest.approx(published["speedup"])
    assert table.loc["clts-mdlrc-cifar10", "evidence", "34.0"]["note"] == "horizon; as reconstructed"


def test_a_claim_on_this_task_gets_its_verdict_at_its_own_target(fidrace: Fidrace, tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", ("baseline", "min-snr", "clts+mdlrc"), seeds=tuple(range(10)))
    one = verdicts_on(load_claims(claims(tmp_path)), folder)
    assert [(each.verdict, each.notes) for each in one] == [("consistent", ())]
    final = verdicts_on(load_claims(claims(tmp_path, target='"baseline-final"', factor=3.0)), folder)
    assert [(each.verdict, each.target) for each in final] == [("smaller", "baseline-final"), ("evidence", 34.0)]
    assert "post hoc" not in final[0].notes
    reconstructed = claims(tmp_path, method="clts+mdlrc", factor=2.0)
    assert "refuted (as reconstructed)" in fidrace("claims", folder, "--claims", reconstructed).stdout
    assert verdicts_on(load_claims(reconstructed), folder)[0].notes[0] == "slower"


def test_a_claim_whose_target_a_run_starts_at_does_not_stop_the_others(tmp_path: Path) -> None:
    found = verdicts_on(load_claims(claims(tmp_path, target="1000")), excerpt(tmp_path / "dir"))
    assert (found[0].verdict, "before it trains" in found[0].notes[0]) == ("inconclusive", True)


def test_a_claim_says_which_guards_its_method_loses(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", ("baseline", "p2"), seeds=tuple(range(10)))
    assert verdicts_on(load_claims(claims(tmp_path, method="p2")), folder)[0].notes == ("loses recall",)


def test_runs_that_never_arrive_refute_nothing(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", evals=lambda table: silently_the_baseline(table).assign(fd=90 - table["seed"]))
    found = verdicts_on(load_claims(claims(tmp_path)), folder)
    assert (found[0].verdict, found[0].notes[0]) == ("inconclusive", "no run reached the target")


def test_one_pair_of_identical_runs_refutes_nothing(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", seeds=(0,), evals=silently_the_baseline)
    assert verdicts_on(load_claims(claims(tmp_path)), folder)[0].verdict == "inconclusive"


def test_a_changed_task_is_evidence_and_no_verdict(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", learning_rate=1e-3)
    for place in (folder, without_study(folder, tmp_path / "bare")):
        found = verdicts_on(load_claims(claims(tmp_path)), place)
        assert [each.verdict for each in found] == ["not run", "evidence"]
        assert found[1].notes[0].startswith("the task is changed: ")
    assert verdicts_on(load_claims(claims(tmp_path)), folder)[1].notes[0].endswith("optimizer.lr")


def test_a_factor_over_another_baseline_is_evidence_and_no_verdict(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", ("baseline", "min-snr", "clts+mdlrc"), baseline="min-snr")
    found = verdicts_on(load_claims(claims(tmp_path, method="clts+mdlrc")), folder)
    assert [each.verdict for each in found] == ["not run", "evidence"]
    assert found[1].notes[0] == "measured against min-snr"


def test_a_claim_of_a_method_that_was_not_raced_names_the_command(tmp_path: Path) -> None:
    found = verdicts_on(load_claims(claims(tmp_path, method="laplace")), excerpt(tmp_path / "dir"))
    assert [each.verdict for each in found] == ["not run"]
    assert "fidrace run digits -m 'laplace' --seeds 10" in found[0].notes[0]


def test_too_few_pairs_decide_nothing(tmp_path: Path) -> None:
    found = verdicts_on(load_claims(claims(tmp_path)), excerpt(tmp_path / "dir", seeds=(0, 1)))
    assert (found[0].verdict, "fewer than 3 pairs" in found[0].notes) == ("inconclusive", True)


def test_tables_without_a_study_are_judged_too(tmp_path: Path) -> None:
    folder = without_study(excerpt(tmp_path / "dir", seeds=tuple(range(10))), tmp_path / "bare")
    assert verdicts_on(load_claims(claims(tmp_path)), folder)[0].verdict == "consistent"
    paper = without_study(excerpt(tmp_path / "paper", ("baseline", "clts+mdlrc")), tmp_path / "bare paper")
    assert "as reconstructed" in verdicts_on(load_claims(claims(tmp_path, method="clts+mdlrc")), paper)[0].notes
    mine = write(tmp_path / "mine", study())
    own = claims(tmp_path, task="t", method="fast", target="10.0", factor=1.5)
    assert [one.verdict for one in verdicts_on(load_claims(own), mine)] == ["exceeded"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CLAIM.format(task="digits", method="p2", target="34.0", factor=0.5), "claim.0.factor"),
        (CLAIM.format(task="digits", method="p2", target="34.0", factor=2).replace("iterations", "hours"), "claim.0.axis"),
        (2 * CLAIM.format(task="digits", method="p2", target="34.0", factor=2), "two claims have the id 'mine'"),
        (CLAIM.format(task="digits", method="baseline", target="34.0", factor=2), "the baseline is what"),
        (CLAIM.format(task="digits", method="p2", target="-3.0", factor=2), "claim.0.target"),
        ("claim = []", "claim"),
        ("[[claims]]", "claim: Field required"),
        (CLAIM.format(task="digits", method="p2", target="34.0", factor=2) + "fator = 1", "did you mean 'factor'"),
        ("[[claim", "not a TOML file"),
    ],
)
def test_a_claims_file_that_is_wrong_is_named(text: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(text)
    assert named in refused("claims", "--claims", "claims.toml")
    with pytest.raises(InputError):
        load_claims(tmp_path / "claims.toml")


def test_a_folder_without_scores_is_named(refused: Refused, tmp_path: Path) -> None:
    assert "no such file" in refused("claims", tmp_path / "absent")


@pytest.mark.parametrize(
    ("changes", "changed"),
    [({}, ""), ({"speed.precision": "bf16", "speed.compile": True}, ""), ({"optimizer.lr": 2e-4}, "optimizer.lr")],
)
def test_content_that_a_task_leaves_open_and_how_fast_it_ran_change_no_task(
    changes: dict[str, object], changed: str, tmp_path: Path
) -> None:
    """Curves of digits under the name of cifar10, as a study of it would note its data."""
    folder = excerpt(tmp_path / "dir", ("baseline", "clts+mdlrc"), seeds=tuple(range(10)))
    task = load_task("cifar10", {"data.sha256": "a" * 64, **changes})
    for name in ("runs.csv", "evals.csv"):
        table = pd.read_csv(folder / name).assign(task="cifar10")
        hashed = {"config_hash": task.fixed_hash()} if name == "runs.csv" else {}
        table.assign(**hashed).to_csv(folder / name, index=False)
    noted = json.loads((folder / "study.json").read_text())
    noted |= {"task": "cifar10", "fixed": task.fixed_part(), "fixed_hash": task.fixed_hash(), "target": "baseline-final"}
    (folder / "study.json").write_text(json.dumps(noted))
    found = {one.claim.task: one for one in verdicts_on(load_claims(), folder)}["cifar10"]
    if changed:
        assert (found.verdict, found.notes[0]) == ("evidence", f"the task is changed: {changed}")
    else:
        assert found.verdict == "refuted"


def test_a_claim_on_an_axis_without_rows_of_its_own_is_judged(tmp_path: Path) -> None:
    path = claims(tmp_path)
    on_iterations = verdicts_on(load_claims(path), DIGITS)
    path.write_text(path.read_text().replace('"iterations"', '"images"'))
    on_images = verdicts_on(load_claims(path), DIGITS)
    assert [one.verdict for one in on_images] == [one.verdict for one in on_iterations] == ["consistent"]
    assert on_images[0].row()["measured"] == pytest.approx(on_iterations[0].row()["measured"], rel=1e-12)

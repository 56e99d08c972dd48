"""Published speedups beside what their own tables support: every point is there, and the brackets are those of the points."""

import csv
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from fidrace.errors import InputError
from fidrace.report.published_curves import print_published
from fidrace.score.published_curves import FACTS, POINTS, load_published
from fidrace.score.published_support import support_of
from tests.conftest import Refused, command_here

DOCS = Path(__file__).parents[1] / "docs"
Run = tuple[str, str, str]  # source, task, method


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def points() -> dict[Run, list[tuple[float, float]]]:
    """The packaged points of each run, in the order of training, read without fidrace."""
    runs: dict[Run, list[tuple[float, float]]] = {}
    for row in table(POINTS):
        runs.setdefault((row["source"], row["task"], row["method"]), []).append((float(row["progress"]), float(row["fid"])))
    return {run: sorted(own) for run, own in runs.items()}


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """The commands in the page of docs/."""
    lines = (DOCS / "published.md").read_text(encoding="utf-8").splitlines()
    return [line.strip().split("   ")[0] for line in lines if line.startswith("    fidrace ")]


@pytest.fixture(scope="module")
def written(commands: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the page's last command prints, and the folder that it writes."""
    folder = tmp_path_factory.mktemp("published")
    done = command_here(commands[-1].split()[1:], folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder / "docs"


def test_every_published_point_is_packaged() -> None:
    """How many FIDs each publication has, and their sum, added up from the publications themselves."""
    known = {
        "repa": (17, 243.5),
        "fdm": (72, 1168.8),
        "ddpm-ip": (62, 329.31),
        "tread": (8, 256.08),
        "prx": (7, 131.35),
        "disploss": (2, 68.84),
        "dit": (5, 243.2),
        "adm": (11, 65.88),
        "free": (11, 435.69),
        "k-diffusion": (5, 194.03),
        "lct": (20, 541.22),
    }
    fids: dict[str, list[float]] = {}
    for row in table(POINTS):
        fids.setdefault(row["source"], []).append(float(row["fid"]))
    assert {source: (len(own), round(sum(own), 2)) for source, own in fids.items()} == known
    assert all(source.read_in and source.title for source in load_published().sources.values())


def test_the_claim_of_repa_is_printed_as_its_table_supports_it(written: tuple[str, Path]) -> None:
    """SiT-XL/2 has FID 17.2 at 400K and 8.3 at 7M, with REPA 13.6 at 150K and 7.9 at 400K. So to 8.3 it takes more than 400K
    and no more than 7M, with REPA more than 150K and no more than 400K: from 400/400 = 1 to 7000/150 = 46.7."""
    row = next(line for line in written[0].splitlines() if "repa SiT-XL/2" in line)
    assert [cell.strip() for cell in row.split("│")[1:6]] == ["repa SiT-XL/2", "17.5×", "8.3", "1.00×–46.7×", "inside"]
    assert "repa SiT-XL/2: baseline: 1 unconfirmed" in written[0] or "baseline: 1 unconfirmed" in row
    assert "repa on SiT-XL/2: 17.5× is 7M / 400K iterations" in written[0]
    assert "No row is a verdict" in written[0]


def test_brackets_at_the_end_of_the_baseline_are_those_worked_out_by_hand(written: tuple[str, Path]) -> None:
    rows = [row for row in table(written[1] / "published.csv") if row["at_baseline_end"] == "True"]
    found = {(row["method"], row["task"]): [float(row["low"]), float(row["high"]), row["published_lies"]] for row in rows}
    third = (150 / 150, 200 / 100, "upper end")  # baseline in (150, 200] million images, FDM in (100, 150]
    known: dict[tuple[str, str], tuple[float, float, str]] = {
        ("repa", "SiT-XL/2"): (400 / 400, 7000 / 150, "inside"),
        ("repa", "DiT-XL/2"): (400 / 850, 7000 / 400, ""),  # 9.6 at 7M, and 9.6 at 850K after 12.3 at 400K
        ("edm-fdm", "cifar10"): third,
        ("edm-fdm", "ffhq"): third,
        ("edm-fdm", "afhqv2"): (150 / 100, 200 / 50, "inside"),  # 2.37: FDM 2.73 at 50, 2.05 at 100
        ("vp-fdm", "cifar10"): third,
        ("vp-fdm", "ffhq"): third,
        ("vp-fdm", "afhqv2"): third,
        ("ve-fdm", "cifar10"): third,
        ("ve-fdm", "ffhq"): third,
        ("ve-fdm", "afhqv2"): (150 / 50, math.inf, "below"),  # 57.48: FDM 54.41 at its first evaluation
        ("adm-ip", "celeba64"): (360 / 120, 420 / 60, "below"),  # 1.66: 1.78 at 360K, 1.63; with IP 2.81 at 60K, 1.51
        ("adm-ip", "ffhq128"): (240 / 60, math.inf, ""),  # 14.8: 15.2 at 240K, 14.7; with IP 8.8 at 60K
        ("adm-ip", "imagenet32"): (4000 / 1500, 4500 / 1000, ""),  # 3.58: 3.59 at 4M, 3.53; with IP 3.84 at 1M, 3.31
        ("adm-ip", "lsun-tower64"): (220 / 100, 260 / 60, ""),  # 4.15: 5.06 at 220K, 3.83; with IP 4.45 at 60K, 3.18
    }
    assert found.keys() == known.keys()
    for pair, (low, high, lies) in known.items():
        assert found[pair] == [pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5), lies]


def reached(run: list[tuple[float, float]], target: float) -> tuple[float, float]:
    """The bracket of what a run needed: up to the first point at the target that is the last or has the next there too."""
    before = 0.0
    for (n, fid), following in zip(run, [*run[1:], None], strict=True):
        if fid <= target and (following is None or following[1] <= target):
            return before, n
        before = n
    return before, math.inf


def test_brackets_at_every_target_are_those_of_a_simple_search(written: tuple[str, Path]) -> None:
    runs = points()
    targets: dict[tuple[Run, Run], list[float]] = {}
    for row in table(written[1] / "published.csv"):
        if not row["target"]:
            continue
        sides = [(row["source"], row["task"], row[side]) for side in ("baseline", "method")]
        targets.setdefault((sides[0], sides[1]), []).append(float(row["target"]))
        baseline, method = (reached(runs[side], float(row["target"])) for side in sides)
        low, high = baseline[0] / method[1], baseline[1] / method[0] if method[0] else math.inf
        assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high), rel=1e-5), row
    assert len(targets) == 15
    for pair, own in targets.items():
        assert own == sorted({fid for side in pair for _, fid in runs[side]}, reverse=True)


def test_a_target_that_a_run_touches_without_arriving_is_named_and_never_picked(written: tuple[str, Path]) -> None:
    """ADM on celeba64 has 1.63 at 420K, 1.60 at 480K and ends with 1.66 at 540K: 1.60 is touched, and the table allows for
    420/120 = 3.5 there. At 1.51 ADM never is in its 540K, with IP it is by 120K: 540/120."""
    touched = {
        ("celeba64", "1.6"): "adm",  # 1.60 at 480K, 1.66
        ("celeba64", "1.31"): "adm-ip",  # 1.31 at 300K, 1.33
        ("ffhq128", "14.5"): "adm",  # 14.5 at 420K, 14.8
        ("ffhq128", "5.9"): "adm-ip",  # 5.9 at 180K, 6.1
        ("imagenet32", "3.53"): "adm",  # 3.53 at 4.5M, 3.58
        ("imagenet32", "2.72"): "adm-ip",  # 2.72 at 4M, 2.76
        ("lsun-tower64", "3.39"): "adm",  # 3.39 at 300K, 4.15
        ("lsun-tower64", "2.68"): "adm-ip",  # 2.68 at 220K, 2.76
    }
    rows = [row for row in table(written[1] / "published.csv") if "touched" in row["note"]]
    assert {(row["task"], row["target"]): row["note"].partition(":")[0] for row in rows} == touched
    page = (written[1] / "published.md").read_text(encoding="utf-8")
    best = {cells[1]: cells[6] for line in page.splitlines() if len(cells := [*map(str.strip, line.split("|"))]) > 8}
    assert {name: said for name, said in best.items() if name.startswith("adm-ip")} == {
        "adm-ip celeba64": "≥ 4.50× at 1.51",  # 540/120
        "adm-ip ffhq128": "≥ 8.00× at 8.8",  # 480/60: ADM ends at 480K with 14.8, with IP 8.8 at 60K
        "adm-ip imagenet32": "≥ 3.33× at 3.31",  # 5000/1500: ADM ends at 5M with 3.58, with IP 3.31 at 1.5M
        "adm-ip lsun-tower64": "≥ 3.67× at 4.45",  # 220/60: ADM 5.06 at 220K, then 3.83; with IP 4.45 at 60K
    }


def test_points_without_a_curve_support_no_factor(written: tuple[str, Path]) -> None:
    rows = [row for row in table(written[1] / "published.csv") if row["source"] == "tread"]
    assert [(row["published"], row["low"], row["high"], row["note"]) for row in rows] == [
        ("14", "", "", "one point"),
        ("37", "", "", "one point"),
    ]
    listed = written[0].partition("runs from which no factor follows")[2]
    for task in ("SiT-L/2", "imagenet256-dit-xl2", "prx-256", "imagenet256-sit-b2-80ep", "B/4"):
        assert any(task in line and "one point" in line for line in listed.splitlines())
    assert listed.count("no baseline") == 5


def test_the_page_of_the_docs_is_what_its_command_writes(commands: list[str], written: tuple[str, Path]) -> None:
    assert commands == ["fidrace claims --published", "fidrace claims --published --out docs"]
    for name in ("published.md", "published.csv"):
        assert (written[1] / name).read_bytes() == (DOCS / name).read_bytes(), f"run: {commands[-1]}"
    for folder in (written[1], DOCS):
        assert (folder / "published.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits_a_terminal_and_keeps_its_brackets_whole(width: int) -> None:
    published = load_published()
    console = Console(width=width, markup=False, emoji=False)
    with console.capture() as capture:
        print_published(published, [support_of(pair) for pair in published.pairs if pair.source.key != "fdm"], console)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert any("1.00×–46.7×" in line for line in lines)
    assert ("inside" in capture.get()) == (width >= 80)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--published"], "--published takes no DIR and no --claims"),
        (["--published", "--claims", "mine.toml"], "--published takes no DIR and no --claims"),
        (["digits", "--out", "docs"], "--out DIR is for --published"),
        (["--published", "--out", "a-file"], "a-file: File exists"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], said: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    assert said in refused("claims", *words)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('runs = [["adm", "adm-ip"]]', 'runs = [["adm", "adm-ipp"]]', "ddpm-ip has no run 'adm-ipp' on 'celeba64'"),
        ('key = "lct"', 'key = "lctt"', "stands in only one of"),
        ('divides = "7M / 400K iterations, the upper ends of two brackets"', "", "go together"),
        ("factor = 17.5", "factor = -17.5", "pair.0.factor"),
        ("inexact", "exact", "unknown field 'source.2.exact'; did you mean 'inexact'?"),
    ],
)
def test_facts_that_contradict_the_points_or_themselves_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = FACTS.read_text(encoding="utf-8")
    assert old in text
    facts = tmp_path / "facts.toml"
    facts.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        load_published(facts)

"""Method cards: a page of Markdown for each method, from the registry and from published tables."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fidrace.method.base import Method
from fidrace.method.registry import Registry
from fidrace.report.leaderboard import factor_cells, format_factor
from fidrace.report.markdown import escape_markdown, markdown_table
from fidrace.report.methods import noise_note, parameter_line
from fidrace.score.claims import load_claims
from fidrace.spec.user_input import BASELINE, read_toml
from fidrace.storage.atomic import write_all
from fidrace.storage.manifest import read_manifest

TABLES = ("speedups.csv", "contrasts.csv")
TRAPS = Path(__file__).parent / "traps.toml"
RACED = ["race", "raced as", "pairs", "factor", "95 % interval", "Holm p", "verdict", "notes"]
AGAINST = ["race", "method", "control", "pairs", "factor over it", "95 % interval", "Holm p", "verdict"]
LOST = ["race", "raced as", "guard", "at the target", "the baseline there"]


HEAD = """# Method cards

A page for each method: what it is, how it fared in the published races, also against its controls, and its traps. The factors
here are over the baseline, in iterations, of the method by itself with its own parameters; in a race whose baseline is
another method, of the method together with that one. Made from the published tables by

    fidrace methods --cards docs/method-cards"""


@dataclass(frozen=True)
class Races:
    """Rows of published tables, each with the name of its race and what is the baseline there: by iterations, and guards that
    were lost."""

    speedups: list[dict[str, Any]]
    contrasts: list[dict[str, Any]]
    lost: list[dict[str, Any]]

    @staticmethod
    def read(folders: Mapping[str, Path]) -> "Races":
        def rows(name: str) -> Iterator[dict[str, Any]]:
            for race, folder in folders.items():
                if (folder / name).exists():
                    baseline = baseline_in(folder)
                    for row in pd.read_csv(folder / name, keep_default_na=True).fillna({"flags": ""}).to_dict("records"):
                        yield {"race": race, "over": baseline, **{str(key): value for key, value in row.items()}}

        speedups, contrasts = ([row for row in rows(name) if row["axis"] == "iterations"] for name in TABLES)
        return Races(speedups, contrasts, [row for row in rows("guards.csv") if row["lost"] is True])


def baseline_in(folder: Path) -> str:
    """What the factors in `folder` are over; tables without a study.json do not say."""
    return read_manifest(folder / "study.json").baseline if (folder / "study.json").exists() else BASELINE


def method_of(row: Mapping[str, Any]) -> str:
    """The method of a row of speedups, without the other baseline of its race."""
    return str(row["method"]).removesuffix(f"+{row['over']}")


def parts_of(name: str) -> list[str]:
    """The names of a composition's methods, without their parameters."""
    return [part.partition("[")[0] for part in name.split("+")]


def write_cards(folder: Path, registry: Registry, tables: Mapping[str, Path]) -> None:
    """Write NAME.md for every method into `folder`, and README.md, which lists them. Raises WriteError."""
    races, traps = Races.read(tables), read_toml(TRAPS)
    cards = {f"{name}.md": card(method(), races, traps.get(name, [])) for name, method in registry.methods.items()}
    write_all(folder, cards | {"README.md": overview(registry, races)})


def card(method: Method, races: Races, traps: list[str]) -> str:
    """The page of one method."""
    own = [row for row in races.speedups if method.name in parts_of(row["method"])]
    against = [row for row in races.contrasts if method.name in (*parts_of(row["method"]), *parts_of(row["control"]))]
    lost = [row for row in races.lost if method.name in parts_of(row["method"])]
    sections = [f"# `{method.name}`", inspect.cleandoc(method.__doc__ or ""), "\n".join(facts(method))]
    nothing = "Every factor is over it." if method.name == BASELINE else "It is in no published race yet."
    sections += ["## How it fared", *(list(fared(own, against, lost)) or [nothing])]
    sections += ["## Traps", "\n".join(f"- {trap}" for trap in traps)] if traps else []
    return "\n\n".join(sections) + "\n"


def facts(method: Method) -> Iterator[str]:
    source = f"{method.source} (claim: {method.claim})" if method.claim else method.source
    yield f"- source: {source or 'none'}; evidence: {method.evidence}"
    horizon = "; what it does before the budget depends on the budget" if method.depends_on_horizon() else ""
    yield f"- it changes {', '.join(method.aspects()) or 'nothing'}{horizon}"
    axis = "" if method.axis == "iterations" else f" and {method.axis}"
    yield f"- it is judged in iterations{axis}{noise_note(method)}"
    yield from (f"- `{key}`: {escape_markdown(parameter_line(method, key).partition(' = ')[2])}" for key in method.parameters())
    for claim in load_claims():
        if method.name in parts_of(claim.method):
            of = "" if claim.method == method.name else f" of {claim.method}"
            yield f"- claimed{of}: {claim.factor:g}× on {claim.task}, {claim.paper} (`fidrace claims`)"


def fared(own: list[dict[str, Any]], against: list[dict[str, Any]], lost: list[dict[str, Any]]) -> Iterator[str]:
    """Its factors over the baseline, over its controls and as a control, and the guards that it lost, where it was raced."""
    for over in sorted({row["over"] for row in own}, key=lambda name: (name != BASELINE, name)):
        rows = [row for row in own if row["over"] == over]
        lines = [[row["race"], row["method"], str(row["pairs"]), *factor_cells(row), row["flags"]] for row in rows]
        yield "Over the baseline, in iterations:" if over == BASELINE else f"Over `{over}`, in iterations:"
        yield markdown_table(RACED, lines)
    if against:
        lines = [[row["race"], row["method"], row["control"], str(row["pairs"]), *factor_cells(row)] for row in against]
        yield "Against controls, or as one:"
        yield markdown_table(AGAINST, lines)
    if lost:
        yield "Guards that it lost ([protocol](../protocol.md#guards)):"
        cells = [[row["race"], row["method"], row["guard"], f"{row['value']:.3f}", f"{row['baseline']:.3f}"] for row in lost]
        yield markdown_table(LOST, cells)


def raced_line(name: str, tables: Mapping[str, Path]) -> str:
    """The factors of the method or composition `name` in published races, on one line."""
    told = []
    for row in Races.read(tables).speedups:
        if method_of(row) == name:
            factor, interval, _, verdict = factor_cells(row)
            told.append(f"{row['race']} {factor} ({interval}) {verdict}{other_baseline(row)}{harm(row)}")
    return "; ".join(told) or "in no published race"


def other_baseline(row: Mapping[str, Any]) -> str:
    """What a factor is over, if not the method of that name."""
    return "" if row["over"] == BASELINE else f" over {row['over']}"


def harm(row: Mapping[str, Any]) -> str:
    """The guards that a factor was paid with, as a row's notes say."""
    return "".join(f"; {flag}" for flag in str(row["flags"]).split("; ") if flag.startswith(("loses", "memorises")))


def overview(registry: Registry, races: Races) -> str:
    """The list of all cards: what each method changes, and its factor by itself in each race."""
    names = list(dict.fromkeys(row["race"] for row in races.speedups))
    factors = {(row["race"], method_of(row)): f"{format_factor(row)} {row['verdict']}{harm(row)}" for row in races.speedups}
    lines = []
    for name in sorted(registry.methods, key=lambda name: (name != BASELINE, name)):
        changes = ", ".join(registry.methods[name]().aspects()) or "nothing"
        lines.append([f"[{name}]({name}.md)", changes, *(factors.get((race, name), "") for race in names)])
    return "\n\n".join([HEAD, markdown_table(["method", "changes", *names], lines)]) + "\n"

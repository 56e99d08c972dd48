"""Runs that were imported from other people's logs: what a reader must know of them."""

from collections.abc import Sequence

from fidrace.score.columns import FACTS, MORE_FACTS
from fidrace.score.curves import Curve


def are_imported(curves: Sequence[Curve]) -> bool:
    """True if some of the runs were imported: nobody here saw them, nor which others were left out."""
    return any(curve.about.get("imported") for curve in curves)


def notes_on_imports(curves: Sequence[Curve]) -> list[str]:
    """The notes on a method's runs and its reference's: that they were imported, what is not told of how their distances were
    measured, and in what they were allowed to differ."""
    imported = [curve for curve in curves if curve.about.get("imported")]
    if not imported:
        return []
    told = {fact: {str(curve.about.get(fact) or "") for curve in imported} for fact in (*FACTS, *MORE_FACTS)}
    missing = [fact for fact in FACTS if "" in told[fact]]
    which = f" ({', '.join(missing)})" if len(missing) < len(FACTS) else ""
    described = [f"evaluation not described{which}"] if missing else []
    if "min" in told["repeats"]:
        described.append("the lowest of several distances")
    return ["imported", *described, *(f"{fact} differs" for fact, values in told.items() if len(values - {""}) > 1)]

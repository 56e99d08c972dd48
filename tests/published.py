"""Folders made from the published runs on digits, with something planted in them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

DIGITS = Path(__file__).parents[1] / "results/digits"


def excerpt(
    folder: Path,
    methods: tuple[str, ...] = ("baseline", "min-snr"),
    seeds: tuple[int, ...] = (0, 1, 2),
    evals: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    status: str = "finished",
    learning_rate: float | None = None,
    methods_hash: str = "",
    **study: Any,
) -> Path:
    """Some methods and seeds of results/digits in `folder`, the rows of evals.csv changed by `evals`, every run of `status`,
    another fixed part where a `learning_rate` is given, fields of study.json by `study`."""
    folder.mkdir()
    for name in ("runs.csv", "evals.csv"):
        table = pd.read_csv(DIGITS / name)
        table = table[table["method"].isin(methods) & table["seed"].isin(seeds)]
        if name == "runs.csv":
            table = table.assign(status=status) if learning_rate is None else table.assign(config_hash="other")
        else:
            table = evals(table)
        table.to_csv(folder / name, index=False)
    declared = json.loads((DIGITS / "study.json").read_text())
    if learning_rate is not None:
        declared["fixed"]["optimizer"]["lr"] = learning_rate
        declared["fixed_hash"] = "other"
    change = {"hash": methods_hash} if methods_hash else {}
    kept = {name: {**entry, **change} for name, entry in declared["methods"].items() if name in methods}
    own = {"methods": kept, "seeds": list(seeds), "declared_seeds": list(seeds)}
    (folder / "study.json").write_text(json.dumps({**declared, **own, **study}))
    return folder


def silently_the_baseline(table: pd.DataFrame) -> pd.DataFrame:
    """A planted regression: min-snr trains as the baseline does."""
    baseline = table[table["method"] == "baseline"]
    return pd.concat([baseline, baseline.assign(method="min-snr")])


def without_study(folder: Path, copy: Path) -> Path:
    """The two tables alone, as anybody could have made them."""
    copy.mkdir()
    for name in ("runs.csv", "evals.csv"):
        shutil.copy(folder / name, copy / name)
    return copy

"""Studies of the trainer in tests/trainer.py, and what their folders say."""

import json
import shlex
import sys
from pathlib import Path

import pandas as pd

TRAINER = Path(__file__).parent / "trainer.py"
RUN = shlex.join([sys.executable, str(TRAINER)])


def study(folder: Path, methods=("slow", "fast"), seeds: int = 3, top: dict = {}, trainer: dict = {}) -> Path:
    """A study file of the test's trainer, with other values if they are given; None leaves a field out."""
    own = {"methods": [*methods], "seeds": seeds, "budget": 80, "evaluations": 8, "target": 20.0} | top
    section = {
        "command": f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}",
        "checkpoints": r"run/ckpt-(?P<step>\d+)\.json",
        "evaluate": f"{RUN} sample {{checkpoint}} --first {{first}} --count {{count}} --out {{samples}}.npz",
        "samples": 400,
        "ref": "digits",
        "config": "*/config.json",
        "varies": ["seed", "method"],
    } | trainer
    lines = [f"{name} = {json.dumps(value)}" for name, value in own.items() if value is not None]
    tables = [f"{name} = {toml(value)}" for name, value in section.items() if value is not None]
    path = folder / "mine.toml"
    path.write_text("\n".join([*lines, "[trainer]", *tables]) + "\n")
    return path


OWN_FID = {
    "fid": {"command": f"{RUN} fid {{checkpoint}}", "read": "^fid = (.*)$"},
    **dict.fromkeys(("evaluate", "ref", "samples")),
}


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def table(folder: Path, name: str = "speedups") -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv")


def held_by(folder: Path, method: str) -> pd.Series:
    """Who holds each guarantee of a method's first run."""
    held = table(folder, "provenance")
    return held[held["method"] == method].drop_duplicates("guarantee").set_index("guarantee")["held_by"]


def errors(folder: Path) -> dict[str, str]:
    return {row.method: str(row.error) for row in table(folder, "runs").itertuples() if row.status == "failed"}

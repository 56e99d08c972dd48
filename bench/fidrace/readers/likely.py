"""Which format a file looks like, for the message when it is read as another."""

import json
import re
from pathlib import Path

HEAD = 20_000  # bytes that are looked at
CHECKPOINTS = {
    "edm": re.compile(r"network-snapshot-\d+"),
    "dit": re.compile(r"\d{7}-size-\d+|-cfg-[\d.]+-seed-\d+"),
    "openai": re.compile(r"(?:ema_[\d.]+_|model)\d{6,}|^Inception Score:|^sFID:", re.MULTILINE),
}


def likely_reader(path: Path) -> str:
    """The reader whose format the file looks like; empty if none is recognized."""
    if path.is_dir():
        return "edm" if any(path.glob("stats.jsonl")) else "flow-matching" if (path / "log.txt").exists() else ""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return ""
    if "tfevents" in path.name or head[8 + 4 + 9 : 8 + 4 + 40].find(b"brain.Event:") >= 0:
        return "tensorboard"
    text = head.decode("utf-8-sig", errors="replace")
    if found := likely_json(text):
        return found
    header = text.partition("\n")[0].strip()
    if {"step", "time", "loss", "fid", "kid"} <= {*header.split(",")}:
        return "k-diffusion"
    if re.search(r'"?\bStep\b"?,', header) and " - " in header:
        return "wandb"
    for name, pattern in CHECKPOINTS.items():
        if pattern.search(text) or pattern.search(path.name):
            return name
    return "csv" if re.search(r"[,;\t]", header) and re.match(r'["A-Za-z#]', header) else ""


def likely_json(text: str) -> str:
    """The reader for JSON lines such as the first of `text`; empty if it is none."""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("//", "#")):
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return ""
        if not isinstance(row, dict):
            return ""
        if any(key.startswith("Progress/") for key in row):
            return "edm"
        if "_step" in row:
            return "wandb"
        return "flow-matching" if "train_loss" in row and "epoch" in row else "jsonl"
    return ""

"""docs/import.md is true: its files, its commands and its reader are made and run as they stand there."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fidrace.readers import registry
from tests.conftest import Fidrace

TEXT = (Path(__file__).parents[1] / "docs/import.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`(\S+)` has:\n\n```\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    fidrace (.+)$", re.MULTILINE)


def test_every_command_of_the_page_runs(tmp_path: Path, fidrace: Fidrace, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.chdir(tmp_path)
    for name, content in FILE.findall(TEXT):
        Path(name).write_text(content)
    with SummaryWriter("events") as writer:  # type: ignore[no-untyped-call]
        writer.add_scalar("eval/fid", 60.0, 1000)  # type: ignore[no-untyped-call]
    formats = re.findall(r"^### (\S+)$", TEXT, re.MULTILINE)
    commands = [line.split() for line in COMMAND.findall(TEXT)]
    assert {words[1] for words in commands if words[0] == "import"} == {*formats} == {*registry.MODULES}
    for words in commands:
        told = fidrace(*words)
        assert "Traceback" not in told.stderr
    sentence = next(line.strip() for line in TEXT.splitlines() if line.startswith("    edm-fdm, 1 and 1 runs"))
    said = fidrace("score", "fdm", "--baseline", "edm", "--target", "2.0").stdout
    assert sentence in " ".join(said.split())
    assert [*pd.read_csv("from-dit/evals.csv")["fid"]] == [19.5]
    assert [*pd.read_csv("logs/evals.csv")["method"]] == ["edm"] * 3 + ["mine"] * 3


def test_a_package_may_bring_the_reader_of_the_page(tmp_path: Path, fidrace: Fidrace, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_package").mkdir()
    code: Any = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "my_package" / "logs.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("my-lab", "my_package.logs:read", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "installed", lambda: [point])
    (tmp_path / "log.txt").write_text("2500 5.76\n5000 1.99\n")
    fidrace("import", "my-lab", tmp_path / "log.txt", "--method", "mine", "--out", tmp_path / "s")
    assert [*pd.read_csv(tmp_path / "s" / "evals.csv")["kimg"]] == [2500, 5000]

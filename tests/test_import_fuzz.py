"""Whatever a file holds, `fidrace import` writes tables that can be scored, or says in one error what is wrong."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fidrace.errors import InputError
from fidrace.readers.importing import Told, import_logs
from fidrace.readers.log import Wanted
from fidrace.readers.registry import MODULES
from fidrace.score.reading import read_tables
from tests.test_import import EVALUATOR, K_DIFFUSION

RECORD = '{"results": {"fid50k_full": 5.4}, "metric": "fid50k_full", "snapshot_pkl": "network-snapshot-002500.pkl"}\n'
CHART = '"Step","a - fid","a - fid__MIN","a - fid__MAX"\n"1000","60","60","60"\n"2000","30","30","31"\n'
VALID = {
    "csv": ("table.csv", "method;seed;step;fid\na;0;1.000,5;3,2\na;0;2.000,5;NaN\n# b\nb;;1e3;1,0\n"),
    "jsonl": ("metric.jsonl", RECORD + "// kimg 5000\n" + RECORD.replace('"network-snapshot-002500.pkl"', "null")),
    "k-diffusion": ("x_metrics.csv", K_DIFFUSION),
    "flow-matching": ("log.txt", '{"train_loss": NaN, "epoch": 0, "eval_fid": 3.0}\n{"epoch": 1}\n'),
    "openai": ("ema_0.9999_050000.txt", EVALUATOR.format(fid=3.5, precision=0.7)),
    "edm": ("fids.txt", "network-snapshot-002500-0.100.pkl\nfid = 3.5\nnetwork-snapshot-005000-0.100.pkl 2.5\n"),
    "dit": ("log.txt", "DiT-XL-2-0400000-size-256-vae-ema-cfg-1.5-seed-0.npz\nFID: 5.5\n"),
    "wandb": ("export.csv", CHART),
}
PIECES = st.sampled_from([
    b"", b"\n", b"\r", b",", b";", b'"', b"\0", b"\xff", b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"null", b"{}", b"[1]",
    b"=cmd()", b"\x1b[31m", b"network-snapshot-", b"FID: 3", b"fid", b"step", b"_step", b"true", b'{"a":' * 300,
])  # fmt: skip
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES | st.binary(max_size=6)), max_size=4)


def event_file() -> bytes:
    """An event file with one scalar."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as place:
        with SummaryWriter(place) as writer:  # type: ignore[no-untyped-call]
            writer.add_scalar("fid", 60.0, 1000)  # type: ignore[no-untyped-call]
        (file,) = Path(place).iterdir()
        return file.read_bytes()


def attempt(reader: str, name: str, content: bytes, wanted: Wanted = Wanted(repeats="first")) -> bool:
    """True if the file was imported, and then into tables that can be read; False if it was refused, and nothing is left."""
    with tempfile.TemporaryDirectory() as place:
        path, out = Path(place, name), Path(place, "out")
        path.write_bytes(content)
        try:
            runs = import_logs(reader, [path], out, wanted, Told(method="" if reader == "csv" else "m"))
        except InputError:
            assert not out.exists()
            return False
        curves = read_tables(out).curves
        assert sum(len(curve.fd) for curve in curves) == sum(len(run.evaluations) for run in runs) > 0
        assert all((curve.iteration >= 0).all() for curve in curves)
        json.loads((out / "imported.json").read_text())
        return True


@pytest.mark.parametrize("reader", VALID)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS)
@example(edits=[])
def test_a_damaged_file_is_imported_or_refused_whole(reader: str, edits: list[tuple[float, int, bytes]]) -> None:
    name, text = VALID[reader]
    content = text.encode()
    for share, length, piece in edits:
        at = int(share * len(content))
        content = content[:at] + piece + content[at + length :]
    attempt(reader, name, content)


@pytest.mark.parametrize("reader", VALID)
def test_the_undamaged_files_of_the_fuzz_are_read(reader: str) -> None:
    name, text = VALID[reader]
    assert attempt(reader, name, text.encode())


@pytest.mark.parametrize("reader", MODULES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_imported_or_refused_whole(reader: str, content: bytes) -> None:
    attempt(reader, "events.out.tfevents.1" if reader == "tensorboard" else "file.txt", content)

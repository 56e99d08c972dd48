"""CIFAR-10: small files in the format of the published ones, which are pickles of Python 2."""

import hashlib
import pickle
import struct
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from fidrace.data.base import content_sha256
from fidrace.data.cifar10 import fetch_cifar10
from fidrace.data.loading import describe_data, load_data
from fidrace.errors import InputError
from fidrace.spec.task import DataConfig
from fidrace.storage.cache import Missing

BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
ROWS = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (len(BATCHES), ROWS, 3072), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, (len(BATCHES), ROWS))


def text(value: bytes) -> bytes:
    """A str of Python 2 in pickle's protocol 2."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def listed(*values: bytes) -> bytes:
    return b"](" + b"".join(values) + b"e"


def array(rows: np.ndarray) -> bytes:
    """Bytes [N, 3072] as numpy under Python 2 pickled them: the old name of its module, numbers for flags."""
    shape = b"K" + bytes([len(rows)]) + b"M" + struct.pack("<H", rows.shape[1]) + b"\x86"
    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNN"
        + 2 * b"J\xff\xff\xff\xff"
        + b"K\x00tb"
    )
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"


def pickled(**fields: bytes) -> bytes:
    return b"\x80\x02}(" + b"".join(text(name.encode()) + value for name, value in fields.items()) + b"u."


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a small CIFAR-10 that torchvision takes for the published one."""
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, pixels, labels in zip(BATCHES, PIXELS, LABELS, strict=True):
        fields = dict(data=array(pixels), labels=listed(*(b"K" + bytes([label]) for label in labels.tolist())))
        (folder / name).write_bytes(pickled(batch_label=text(name.encode()), **fields))
    (folder / "batches.meta").write_bytes(pickled(label_names=listed(*map(text, (b"airplane", b"automobile")))))
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in BATCHES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path))
    return folder.parent


def config(**fields: object) -> DataConfig:
    return DataConfig.model_validate(dict(kind="cifar10", sigma_data=0.5) | fields)


def test_training_batches_are_trained_on_and_the_test_batch_is_held_out(published: Path) -> None:
    data = load_data(config(size=32, images=20))
    assert np.array_equal(data.train, PIXELS[:5].reshape(20, 3, 32, 32))  # a row is red, then green, then blue
    assert np.array_equal(data.heldout, PIXELS[5].reshape(4, 3, 32, 32))
    assert data.train_labels.tolist() == LABELS[:5].ravel().tolist()
    assert data.heldout_labels.tolist() == LABELS[5].tolist()
    assert data.train.dtype == np.uint8
    assert data.train_labels.dtype == np.int64
    assert data.levels == 256
    assert data.sha256 == content_sha256(data.train, data.train_labels, data.heldout, data.heldout_labels)
    assert data.folder == published.parent / "images" / f"cifar10-{data.sha256[:16]}"
    assert not data.folder.exists()
    assert describe_data(config()) == f"{published}: CIFAR-10, every file as published"


def test_the_root_that_a_task_names_is_used(published: Path, tmp_path: Path) -> None:
    published.rename(tmp_path / "mine")
    assert len(load_data(config(root=tmp_path / "mine")).train) == 20
    with pytest.raises(Missing, match=r"fidrace doctor cifar10 --fetch$"):
        load_data(config())


class Attack:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_that_is_not_the_published_one_is_named_and_never_unpickled(name: str, published: Path, tmp_path: Path) -> None:
    file = published / CIFAR10.base_folder / name
    file.write_bytes(pickle.dumps(Attack(tmp_path / "trace")))
    for look in (load_data, describe_data):
        with pytest.raises(InputError, match=f"{name} is missing or damaged"):
            look(config())
    with pytest.raises(RuntimeError, match="corrupted"):  # what the comment in cifar10.py says of torchvision alone
        CIFAR10(str(published))
    assert not (tmp_path / "trace").exists()
    pickle.loads(file.read_bytes())  # noqa: S301 - it would have worked
    assert (tmp_path / "trace").exists()
    file.unlink()
    with pytest.raises(InputError, match=f"{name} is missing or damaged"):
        load_data(config())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": 64}, "32 x 32"),
        ({"heldout": 10}, "test images"),
        ({"images": 7}, "20 training images.* 7"),
        ({"sha256": "0" * 64}, "0000"),
    ],
)
def test_what_cifar10_is_not_is_refused(change: dict[str, object], named: str, published: Path) -> None:
    with pytest.raises(InputError, match=named):
        load_data(config(**change))


@pytest.fixture
def archive(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The archive of `published`, at the address where torchvision looks for it."""
    archive = tmp_path / "served" / CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(published / CIFAR10.base_folder, CIFAR10.base_folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=archive.parent))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with server:
        Thread(target=server.serve_forever).start()
        yield archive
        server.shutdown()


def test_it_is_fetched_from_its_address(archive: Path, tmp_path: Path) -> None:
    fetch_cifar10(config(root=tmp_path / "new"))
    assert load_data(config(root=tmp_path / "new")).sha256 == load_data(config()).sha256
    archive.unlink()
    fetch_cifar10(config(root=tmp_path / "new"))  # what is there is not fetched again


def test_another_archive_or_none_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(b"another")
    with pytest.raises(InputError, match=r"cannot download .* to .*corrupted"):
        fetch_cifar10(config(root=tmp_path / "new"))
    archive.unlink()
    with pytest.raises(InputError, match=r"cannot download .* to .*404"):
        fetch_cifar10(config(root=tmp_path / "new"))
    assert not (tmp_path / "new" / CIFAR10.base_folder).exists()

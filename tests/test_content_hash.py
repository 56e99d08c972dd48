"""The hash that identifies a data set is that of its content, however it is read."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fidrace.data.base
from fidrace.data.base import content_sha256


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_a_content_hash_in_chunks_is_that_of_the_whole(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidrace.data.base, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (5, 3, 4, 4), np.uint8))
    arrays: list[NDArray[np.generic]] = [
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        rng.random((6, 5))[::2, ::-1],
        np.asfortranarray(rng.random((3, 4), dtype=np.float32)),
        np.zeros((0, 3), np.int64),
        np.array(3),
    ]
    whole = b"".join(repr((each.shape, each.dtype.str)).encode() + each.tobytes(order="C") for each in arrays)
    assert content_sha256(*arrays) == hashlib.sha256(whole).hexdigest()

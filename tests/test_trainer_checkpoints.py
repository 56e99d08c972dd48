"""Checkpoints of another trainer are equal if their tensors are, however they were pickled."""

from pathlib import Path

import numpy as np
import torch

from fidrace.execute.trainer.checkpoints import content_hash


def state(value: float = 1.0) -> dict[str, object]:
    return {"model": {"w": torch.full((40, 30), value), "b": torch.arange(7)}, "groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]}


def test_pickles_that_refer_to_equal_objects_otherwise_are_one_checkpoint(tmp_path: Path) -> None:
    one, two = state(), state()
    pair = (0.9, 0.999)
    one["extra"] = [pair, pair]
    two["extra"] = [(0.9, 0.999 + 0 * n) for n in range(2)]
    torch.save(one, tmp_path / "one.pt")
    torch.save(two, tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() != (tmp_path / "two.pt").read_bytes()
    assert content_hash(tmp_path / "one.pt") == content_hash(tmp_path / "two.pt")


def test_another_tensor_or_a_damaged_byte_is_another_checkpoint(tmp_path: Path) -> None:
    names = ("one", "other", "shape")
    for name, content in zip(names, (state(), state(1.0000001), {"w": torch.zeros(3)}), strict=True):
        torch.save(content, tmp_path / name)
    found = {content_hash(tmp_path / name) for name in names}
    assert len(found) == 3
    whole = (tmp_path / "one").read_bytes()
    for place in (whole.index(b"betas"), whole.index(4 * b"\x00\x00\x80\x3f")):
        (tmp_path / "damaged").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert content_hash(tmp_path / "damaged") not in found
    (tmp_path / "cut").write_bytes(whole[:-100])
    assert content_hash(tmp_path / "cut") not in found


def test_other_files_count_byte_by_byte(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.zeros(3))
    np.savez(tmp_path / "b.npz", w=np.ones(3))
    (tmp_path / "c").write_bytes(b"abc")
    assert len({content_hash(path) for path in tmp_path.iterdir()}) == 3

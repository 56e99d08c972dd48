"""Tensors, and facts about them, as one safetensors file; the facts are JSON in its header. Nothing is pickled.

The header has a checksum of both, so that a file that is torn or damaged is known for one.
"""

import errno
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fidrace.storage.atomic import replace_atomically

Tensors = dict[str, Tensor]


class Damaged(Exception):
    """The file is not what was written."""


def write(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """One file, whole or not at all; floats in `facts` come back exactly."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts)  # and the checksum in one entry: several come in any order, and files are to be equal
    with replace_atomically(path) as temporary:
        try:
            save_file(whole, temporary, metadata={"sealed": f"{checksum(whole, text)} {text}"})
        except SafetensorError as error:  # says what went wrong in words only
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Raises Damaged where the file is not whole, OSError where it cannot be read."""
    with path.open("rb"):  # says why it cannot be read, as safetensors does not
        pass
    try:
        with safe_open(path, framework="pt") as file:
            tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        sha256, _, text = header.get("sealed", "").partition(" ")
        if sha256 != checksum(tensors, text):
            raise Damaged("another checksum than was written")
        facts = json.loads(text)
    except (SafetensorError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Damaged(" ".join(str(error).split())) from None
    if not isinstance(facts, dict):
        raise Damaged("no facts")
    return tensors, facts


def checksum(tensors: Tensors, facts: str) -> str:
    """SHA-256 of `facts` and of each tensor's name, type, shape and bytes."""
    found = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()

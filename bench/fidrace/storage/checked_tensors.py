"""Tensors and facts about them in one safetensors file, with the facts as JSON in its header. Nothing is pickled.

The header holds a checksum of both, so that a torn or damaged file is detected.
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
    """The file does not have the content that was written."""


def write(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """Write one file atomically; floats in `facts` are read back exactly."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry with the checksum: several have no fixed order, and equal content must give equal files
    text = json.dumps(facts)
    with replace_atomically(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata={"sealed": f"{checksum(contiguous, text)} {text}"})
        except SafetensorError as error:  # it has no errno, only a message
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Raises Damaged if the file is torn or changed, OSError if it cannot be read."""
    with path.open("rb"):  # raises a precise OSError, as safetensors does not
        pass
    try:
        with safe_open(path, framework="pt") as file:
            tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        sha256, _, text = header.get("sealed", "").partition(" ")
        if sha256 != checksum(tensors, text):
            raise Damaged("the checksum does not match")
        facts = json.loads(text)
    except (SafetensorError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Damaged(" ".join(str(error).split())) from None
    if not isinstance(facts, dict):
        raise Damaged("no facts")
    return tensors, facts


def checksum(tensors: Tensors, facts: str) -> str:
    """SHA-256 of `facts` and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

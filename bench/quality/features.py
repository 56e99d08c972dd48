"""Feature networks: images[N, C, H, W] in [-1, 1] to features[N, D], each network known by the SHA-256 of its weights."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bench.quality.digits_classifier import loaded
from methods.base import InputError

WEIGHTS = Path(__file__).parent / "weights"
Features = Callable[[Tensor], Tensor]


def load_features(kind: str, sha256: str, device: torch.device) -> Features:
    """The feature function `kind`; raises InputError where its weights are not the ones the task names."""
    path = WEIGHTS / f"{kind}.safetensors"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise InputError(f"{path}: SHA-256 {found}, the task names {sha256}")
    network = loaded(path).to(device)

    def features(images: Tensor, batch: int = 1000) -> Tensor:
        with torch.no_grad():
            return torch.cat([network.features(chunk.to(device)) for chunk in images.split(batch)])

    return features

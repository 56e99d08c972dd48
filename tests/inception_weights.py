"""A weights file as torch-fidelity's, of an Inception-v3 that nobody trained: what it computes is as good a check of ours."""

import hashlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


def random_images(count: int, seed: int, size: int = 32, channels: int = 3) -> np.ndarray:
    """Bytes [count, channels, size, size]: flat patches of colour under noise; each seed has its own tint and noise."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 200, (count, channels, 4, 4)).repeat(size // 4, axis=2).repeat(size // 4, axis=3)
    tint = rng.integers(0, 30, (1, channels, 1, 1))
    return (patches + tint + rng.integers(0, 5 + 20 * (seed % 2), patches.shape)).astype(np.uint8)


def write_weights(path: Path) -> str:
    """Random weights, batch norms set to what 6 images show them so that activations keep their size; returns the SHA-256."""
    with (
        torch.random.fork_rng(),
        mock.patch("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", return_value={}),
        mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(random_images(6, 100)))
    torch.save(network.state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Inception-v3 as FID knows it: torch-fidelity's network, whose 2,048 pooled features are FID's.

x[N, 3, H, W] images in [-1, 1]; pixels are the same in 0..255. The network sees 299x299 and there are two ways to get there:
"tf1" is TensorFlow 1's bilinear interpolation, which skips pixels when it shrinks (torch-fidelity, and most published FIDs);
"clean" is PIL's bicubic filter with antialiasing, unrounded (clean-fid, arXiv 2104.11222).
"""

import hashlib
import http.client
import io
import pickle
import textwrap
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fidrace.errors import InputError
from fidrace.storage.atomic import write_atomic
from fidrace.storage.cache import cache_path, open_verified

DIMENSION = 2048
SIZE = 299
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's release file
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
REMEDY = "get it: `fidrace doctor TASK --fetch` or `--set quality.weights=FILE`"
Resize = Literal["tf1", "clean"]


def weights_path() -> Path:
    """Where the weights are where no task says otherwise."""
    return cache_path(WEIGHTS)


def fetch_weights(path: Path, sha256: str = WEIGHTS_SHA256) -> None:
    """Download the weights to `path`, whole or not at all; raises InputError where the server gives another file, or none."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        with urllib.request.urlopen(URL_INCEPTION_V3, timeout=60) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{URL_INCEPTION_V3}: {error}; download it by hand and name it: `--set quality.weights=FILE`"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{URL_INCEPTION_V3}: SHA-256 {found}, not {sha256}; nothing is kept of it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def load_inception(path: Path, sha256: str, resize: Resize, device: torch.device) -> Callable[[Tensor], Tensor]:
    """x[N, 3, H, W] -> features[N, 2048] with the weights at `path`; raises InputError where they are not Inception's."""
    network = inception(path, read_weights(path, sha256)).to(device)
    if resize == "tf1":
        return lambda x: nan_where_broken(network(pixels(x))[0], x)
    layers = trunk(network)
    return lambda x: nan_where_broken(layers((clean_resize(pixels(x)) - 128) / 128), x)


def read_weights(path: Path, sha256: str) -> Any:
    """The state dict at `path`, unpickled only where its SHA-256 is right, and even then only tensors and plain data."""
    with open_verified(path, sha256, REMEDY) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a damaged file torch may warn before it gives up
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        # Damaged files fail in torch's reader in too many ways to list; none of its errors is a line for a person, and one
        # of them recommends weights_only=False.
        except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError, OSError, AttributeError, TypeError):
            raise InputError(f"{path}: damaged, or more than weights: not a state dict that PyTorch can safely read") from None


def inception(path: Path, state: Any) -> Any:
    """torch-fidelity's network with the weights in `state`; `path` is for the error's line."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # Its constructor unpickles whatever path it is given: it gets no path, but a file of our own making.
    own = io.BytesIO()
    torch.save(state, own)
    own.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # it first draws the weights that it then replaces
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=own)
    except (RuntimeError, TypeError, AttributeError, LookupError) as error:
        reason = textwrap.shorten(str(error).partition("\n")[2] or str(error), 120, placeholder=" ...")
        raise InputError(f"{path}: not the weights of torch-fidelity's Inception-v3: {reason}") from None


def trunk(network: Any) -> nn.Module:
    """The network between its resizing and its classifier: floats [N, 3, 299, 299] in [-1, 1) to [N, 2048].

    Its own `forward` takes bytes only; its children are registered in the order in which it calls them."""
    *layers, _classifier = network.children()
    return nn.Sequential(*layers, nn.Flatten())


def pixels(x: Tensor) -> Tensor:
    """x as bytes."""
    return ((x.nan_to_num() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def nan_where_broken(features: Tensor, x: Tensor) -> Tensor:
    """Features of images that are not finite are NaN: bytes, which cannot say so, would give them a distance."""
    return features.masked_fill(~x.isfinite().flatten(1).all(1, keepdim=True), torch.nan)


def clean_resize(images: Tensor) -> Tensor:
    """Bytes [N, C, H, W] to floats [N, C, 299, 299] in 0..255: each channel by PIL in float32, then clipped, as clean-fid's
    code does (0.1.35; its paper only says that nothing is rounded)."""
    channels = images.cpu().numpy().astype(np.float32)
    resized = [
        [np.asarray(Image.fromarray(plane).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for plane in image]
        for image in channels
    ]
    return torch.from_numpy(np.array(resized)).clamp(0, 255).to(images.device)

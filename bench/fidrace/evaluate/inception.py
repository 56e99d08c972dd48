"""The Inception-v3 of FID: torch-fidelity's network, with FID's 2,048 pooled features.

x[N, 3, H, W] images in [-1, 1]; pixels: the same in 0..255. The network takes 299x299, and there are two ways to resize to it:
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
WEIGHTS_REMEDY = "get it: `fidrace doctor cifar10 --fetch`; or, with a task, `--set quality.weights=FILE`"
Resize = Literal["tf1", "clean"]


def weights_path() -> Path:
    """The weights' default path, in the cache."""
    return cache_path(WEIGHTS)


def fetch_weights(path: Path, sha256: str = WEIGHTS_SHA256) -> None:
    """Download the weights to `path`, whole or not at all. Raises InputError if the server gives another file, or none."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        with urllib.request.urlopen(URL_INCEPTION_V3, timeout=60) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{URL_INCEPTION_V3}: {error}; download it by hand and name it: `--set quality.weights=FILE`"
        ) from error
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise InputError(f"{URL_INCEPTION_V3}: SHA-256 {received}, not {sha256}; the download was discarded")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def load_inception(path: Path, sha256: str, resize: Resize, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function x[N, 3, H, W] -> features[N, 2048] with the weights at `path`; raises InputError if they do not fit."""
    network = build_inception(path, read_weights(path, sha256)).to(device)
    if resize == "tf1":
        return lambda x: mask_non_finite(network(pixels(x))[0], x)
    layers = feature_layers(network)
    return lambda x: mask_non_finite(layers((clean_resize(pixels(x)) - 128) / 128), x)


def read_weights(path: Path, sha256: str) -> Any:
    """The state dict at `path`, unpickled only if its SHA-256 is right, and even then only tensors and plain data."""
    with open_verified(path, sha256, WEIGHTS_REMEDY) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch may warn about a damaged file before it raises
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        # torch's reader raises many types on damaged files. None of its messages helps the user, and one of them recommends
        # weights_only=False.
        except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError, OSError, AttributeError, TypeError):
            raise InputError(f"{path}: damaged, or more than weights: not a state dict that PyTorch can safely read") from None


def build_inception(path: Path, state: Any) -> Any:
    """torch-fidelity's network with the weights in `state`; `path` is for the error message."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # Its constructor unpickles whatever file it is given: give it one that we have just written.
    own = io.BytesIO()
    torch.save(state, own)
    own.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # it draws initial weights before replacing them
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=own)
    except (RuntimeError, TypeError, AttributeError, LookupError) as error:
        reason = textwrap.shorten(str(error).partition("\n")[2] or str(error), 120, placeholder=" ...")
        raise InputError(f"{path}: not the weights of torch-fidelity's Inception-v3: {reason}") from None


def feature_layers(network: Any) -> nn.Module:
    """The network between its resizing and its classifier: floats [N, 3, 299, 299] in [-1, 1) to [N, 2048].

    Its own `forward` takes bytes only. Its children are registered in the order in which it calls them."""
    *layers, _classifier = network.children()
    return nn.Sequential(*layers, nn.Flatten())


def pixels(x: Tensor) -> Tensor:
    """x converted to bytes."""
    return ((x.nan_to_num() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def mask_non_finite(features: Tensor, x: Tensor) -> Tensor:
    """Set features of images that are not finite to NaN: converting to bytes hides it, and would give them a distance."""
    return features.masked_fill(~x.isfinite().flatten(1).all(1, keepdim=True), torch.nan)


def clean_resize(images: Tensor) -> Tensor:
    """Bytes [N, C, H, W] to floats [N, C, 299, 299] in 0..255: each channel by PIL in float32, then clipped, as in clean-fid's
    code (0.1.35; its paper only says that nothing is rounded)."""
    channels = images.cpu().numpy().astype(np.float32)
    resized = [
        [np.asarray(Image.fromarray(plane).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for plane in image]
        for image in channels
    ]
    return torch.from_numpy(np.array(resized)).clamp(0, 255).to(images.device)

"""Feature networks: images[N, C, H, W] in [-1, 1] to features[N, D], with an identity that changes if the features would."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fidrace.data.base import Images, select_images
from fidrace.errors import InputError
from fidrace.evaluate import inception
from fidrace.evaluate.classifier import FEATURES, load_classifier
from fidrace.method.base import Ints
from fidrace.spec.measurement import QualityConfig
from fidrace.storage.cache import open_verified
from fidrace.train.precision import full_precision

WEIGHTS = Path(__file__).parent / "weights"
ROWS = 2000  # features at a time: a multiple of every `batch`
THUMB = 8


@dataclass(frozen=True)
class Features:
    """A feature function: `network` on `device`, `batch` images at a time. `identity` states kind, resizing and weights."""

    network: Callable[[Tensor], Tensor]
    identity: str
    dimension: int
    device: torch.device
    batch: int = 1000

    def __call__(self, images: Tensor) -> Tensor:
        """Features [N, D] on the device, in true float32: runs of every `speed.precision` share the cached reference."""
        with torch.no_grad(), full_precision():  # not inference_mode, whose tensors cannot be used in autograd later
            return torch.cat([self.network(chunk.to(self.device)) for chunk in images.split(self.batch)])

    def stream(self, images: Images, index: Ints | None = None) -> Iterator[tuple[Ints, Tensor]]:
        """Yield (index[R], features[R, D]), R at most ROWS, of stored images (bytes or floats): all, or those in `index`.

        Reads one batch at a time, so that memory-mapped images need not fit in memory."""
        for rows in chunks(np.arange(len(images)) if index is None else index, ROWS):
            yield rows, torch.cat([self(select_images(images, part)) for part in chunks(rows, self.batch)])


def chunks(index: Ints, size: int) -> Iterator[Ints]:
    return (index[start : start + size] for start in range(0, len(index), size))


def load_features(config: QualityConfig, device: torch.device) -> Features:
    """Load the features that a task names. Raises Missing if their weights are absent, InputError if they are other ones."""
    match config.features:
        case "digits" | "mnist" as name:
            return classifier_features(name, config.features_sha256, device)
        case "inception":
            return inception_features(config, device)
        case "thumb8":
            return Features(thumb8, "thumb8", 3 * THUMB**2, device)


def classifier_features(name: str, sha256: str, device: torch.device) -> Features:
    path = WEIGHTS / f"{name}.safetensors"
    with open_verified(path, sha256):
        network = load_classifier(name, path).to(device)
    return Features(network.features, f"{name} {sha256}", FEATURES, device)


def inception_features(config: QualityConfig, device: torch.device) -> Features:
    path, sha256 = config.weights or inception.weights_path(), config.features_sha256 or inception.WEIGHTS_SHA256
    network = inception.load_inception(path, sha256, config.resize, device)
    return Features(
        lambda images: network(to_colour(images)),
        f"inception {config.resize} {sha256}",
        inception.DIMENSION,
        device,
        batch=50 if device.type == "cpu" else 200,
    )


def thumb8(images: Tensor) -> Tensor:
    """[N, 192]: the images averaged over boxes to 8x8, in colour. It needs no network, so anyone can check it."""
    if min(images.shape[2:]) < THUMB:
        raise InputError(
            f"features = 'thumb8' needs images of {THUMB}x{THUMB} or more, not {images.shape[2]}x{images.shape[3]}"
        )
    return F.adaptive_avg_pool2d(to_colour(images), THUMB).flatten(1)


def to_colour(images: Tensor) -> Tensor:
    """Images [N, 3, H, W]; repeats the channel of grey images."""
    if images.shape[1] not in (1, 3):
        raise InputError(f"these features take images of 1 or 3 channels, not {images.shape[1]}")
    return images.expand(-1, 3, -1, -1)

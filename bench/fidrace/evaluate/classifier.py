"""The feature networks of handwritten digits: small classifiers, whose packaged weights `classifier_training.py` made.

Features are the 64 inputs of the last layer (after the non-linearity, as in Inception). They see images[N, 1, H, W] in [-1, 1].
"""

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

FEATURES = 64


@dataclass(frozen=True)
class Shape:
    """Of a classifier: the images' side, and each 3x3 convolution's stride and channels in units of `width`, which `select` of
    the training script chose (its table is in docs/)."""

    side: int
    strides: tuple[int, ...]
    multipliers: tuple[int, ...]
    width: int


SHAPES = {
    "digits": Shape(8, strides=(1, 1, 2), multipliers=(1, 1, 2), width=32),
    "mnist": Shape(28, strides=(2, 1, 2, 1), multipliers=(1, 1, 2, 2), width=32),
}


class Classifier(nn.Module):
    """Convolutions, then 64 features, then ten classes."""

    def __init__(self, shape: Shape, width: int | None = None):
        super().__init__()
        channels, side, layers = 1, shape.side, list[nn.Module]()
        for stride, multiplier in zip(shape.strides, shape.multipliers, strict=True):
            out, side = multiplier * (width or shape.width), -(-side // stride)
            layers += [nn.Conv2d(channels, out, 3, stride=stride, padding=1), nn.SiLU()]
            channels = out
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, FEATURES))
        self.head = nn.Linear(FEATURES, 10)

    def features(self, images: Tensor) -> Tensor:
        """[N, 64]."""
        return F.silu(self.trunk(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def load_classifier(name: str, path: Path) -> Classifier:
    """Load the classifier of that data set with the weights in `path`."""
    network = Classifier(SHAPES[name])
    network.load_state_dict(load_file(path))
    return network.eval()

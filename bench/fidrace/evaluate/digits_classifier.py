"""The feature network of the task `digits`: a small classifier, whose packaged weights `digits_training.py` made.

Features are the 64 inputs of the last layer (after the non-linearity, as in Inception). It sees images[N, 1, 8, 8] in [-1, 1].
"""

from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

FEATURES = 64
WIDTH = 32  # chosen by `python -m fidrace.evaluate.digits_training select`; its table is in docs/digits.md


class DigitsClassifier(nn.Module):
    """Three 3x3 convolutions, the last with stride 2, then 64 features, then ten classes."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * width * 16, FEATURES),
        )
        self.head = nn.Linear(FEATURES, 10)

    def features(self, images: Tensor) -> Tensor:
        """[N, 64]."""
        return F.silu(self.trunk(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def load_classifier(path: Path) -> DigitsClassifier:
    """Load the classifier with the weights in `path`."""
    network = DigitsClassifier()
    network.load_state_dict(load_file(path))
    return network.eval()

"""The script that trained the packaged weights of the classifiers; NAME is digits or mnist.

python -m fidrace.evaluate.classifier_training select NAME      compare widths and epochs on a fifth of the training images
python -m fidrace.evaluate.classifier_training train NAME FILE  train the chosen one on all of them; print its accuracy on the
                                                                held-out images and the file's SHA-256
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from fidrace.data.base import Data, Images, select_images
from fidrace.data.loading import digits
from fidrace.data.mnist import mnist
from fidrace.evaluate.classifier import SHAPES, Classifier
from fidrace.method.base import Ints
from fidrace.spec.random_streams import Streams

BATCH = 50


@dataclass(frozen=True)
class Training:
    """`epochs`: chosen by `select` among those it compares, on the training images that are `checked`, a fifth (those of mnist
    are in order of class). `move` changes a batch's images a little, so that they cannot be memorised."""

    move: Callable[[Images, np.random.Generator], Images]
    epochs: int
    checked: slice
    widths: tuple[int, ...] = (16, 32)
    compared: tuple[int, ...] = (20, 40, 80)


def shift_all(images: Images, generator: np.random.Generator) -> Images:
    """Shift all images alike, by up to a pixel each way."""
    side = images.shape[-1]
    top, left = 1 + generator.integers(-1, 2, size=2)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
    return padded[:, :, top : top + side, left : left + side]


def warp_each(images: Images, generator: np.random.Generator) -> Images:
    """Turn each image by up to 12 degrees, scale it by up to a tenth and shift it by up to two pixels."""
    side = images.shape[-1]
    limits = np.array([[np.radians(12)], [0.1], [4 / side], [4 / side]])  # affine_grid's images are 2 wide
    angle, scale, *shift = limits * generator.uniform(-1, 1, size=(4, len(images)))
    cos, sin = (1 + scale) * np.cos(angle), (1 + scale) * np.sin(angle)
    matrices = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]]).transpose(2, 0, 1)
    grid = F.affine_grid(torch.from_numpy(matrices).float(), list(images.shape), align_corners=False)
    warped = F.grid_sample(torch.from_numpy(images + 1), grid, align_corners=False) - 1  # outside is black, -1
    return warped.numpy()


TRAININGS = {
    "digits": Training(shift_all, epochs=80, checked=slice(1200, None)),
    "mnist": Training(warp_each, epochs=80, checked=slice(4, None, 5)),
}


def images_of(name: str) -> Data:
    """The data set of that name, as float32 in [-1, 1]."""
    data = {"digits": digits, "mnist": mnist}[name]()
    train, heldout = (select_images(images, np.arange(len(images))).numpy() for images in (data.train, data.heldout))
    return replace(data, train=train, heldout=heldout)


def train_classifier(name: str, images: Images, labels: Ints, width: int, epochs: int, seed: int = 0) -> Classifier:
    """Train a classifier by AdamW on a one-cycle schedule."""
    streams = Streams(f"{name}-classifier/{seed}")
    with torch.random.fork_rng():
        torch.manual_seed(streams.integer("init"))
        network = Classifier(SHAPES[name], width)
    steps = epochs * len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for step in range(steps):
        picked = streams.order(step, BATCH, len(images))
        moved = TRAININGS[name].move(images[picked], streams.at("shift", step))
        loss = F.cross_entropy(network(torch.from_numpy(moved.copy())), torch.from_numpy(labels[picked]), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy_of(network: Classifier, images: Images, labels: Ints) -> float:
    return float((network(torch.from_numpy(images)).argmax(1) == torch.from_numpy(labels)).double().mean())


def compare_settings(name: str) -> None:
    """Print the accuracy of each width and number of epochs on a fifth of the training images, after training on the rest."""
    data, training = images_of(name), TRAININGS[name]
    check = np.zeros(len(data.train), dtype=bool)
    check[training.checked] = True
    print("width  epochs  accuracy over 3 seeds")
    for width in training.widths:
        for epochs in training.compared:
            scores = [
                accuracy_of(
                    train_classifier(name, data.train[~check], data.train_labels[~check], width, epochs, seed),
                    data.train[check],
                    data.train_labels[check],
                )
                for seed in range(3)
            ]
            print(f"{width:5}  {epochs:6}  {np.mean(scores):.4f} ({', '.join(f'{score:.4f}' for score in scores)})", flush=True)


def train_chosen(name: str, path: Path) -> None:
    """Train the chosen classifier on all training images, save its weights, print its accuracy on the held-out ones."""
    data = images_of(name)
    network = train_classifier(name, data.train, data.train_labels, SHAPES[name].width, TRAININGS[name].epochs)
    save_file(network.state_dict(), path)
    print(f"accuracy on the {len(data.heldout)} held-out images: {accuracy_of(network, data.heldout, data.heldout_labels):.4f}")
    print(f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["select", name] if name in TRAININGS:
            compare_settings(name)
        case ["train", name, file] if name in TRAININGS:
            train_chosen(name, Path(file))
        case _:
            sys.exit(__doc__)

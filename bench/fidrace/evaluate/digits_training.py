"""The script that trained the packaged weights of the digits classifier.

python -m fidrace.evaluate.digits_training select      compare widths and epochs on a split of the 1,500
python -m fidrace.evaluate.digits_training train FILE  train the chosen one on all 1,500; print its accuracy on the 297
                                                       held-out images and the file's SHA-256
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from fidrace.data.base import Images
from fidrace.data.loading import digits
from fidrace.evaluate.digits_classifier import WIDTH, DigitsClassifier
from fidrace.method.base import Ints
from fidrace.spec.random_streams import Streams

CHOSEN = {"width": WIDTH, "epochs": 80}
BATCH = 50


def train_classifier(images: Images, labels: Ints, width: int, epochs: int, seed: int = 0) -> DigitsClassifier:
    """Train a classifier by AdamW on a one-cycle schedule, shifting images by up to a pixel so that it cannot memorise them."""
    streams = Streams(f"digits-classifier/{seed}")
    with torch.random.fork_rng():
        torch.manual_seed(streams.integer("init"))
        network = DigitsClassifier(width)
    steps = epochs * len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for step in range(steps):
        picked = streams.order(step, BATCH, len(images))
        rows, columns = streams.at("shift", step).integers(-1, 2, size=2)
        padded = np.pad(images[picked], ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
        shifted = torch.from_numpy(padded[:, :, 1 + rows : 9 + rows, 1 + columns : 9 + columns].copy())
        loss = F.cross_entropy(network(shifted), torch.from_numpy(labels[picked]), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy_of(network: DigitsClassifier, images: Images, labels: Ints) -> float:
    return float((network(torch.from_numpy(images)).argmax(1) == torch.from_numpy(labels)).double().mean())


def compare_settings() -> None:
    """Print the accuracy of each width and number of epochs on 300 of the 1,500 training images, after training on the rest."""
    data = digits()
    fit, check = slice(0, 1200), slice(1200, None)
    print("width  epochs  accuracy over 3 seeds")
    for width in (16, 32):
        for epochs in (20, 40, 80):
            scores = [
                accuracy_of(
                    train_classifier(data.train[fit], data.train_labels[fit], width, epochs, seed),
                    data.train[check],
                    data.train_labels[check],
                )
                for seed in range(3)
            ]
            print(f"{width:5}  {epochs:6}  {np.mean(scores):.4f} ({', '.join(f'{score:.4f}' for score in scores)})")


def train_chosen(path: Path) -> None:
    """Train the chosen classifier on the 1,500, save its weights, print its accuracy on the held-out 297."""
    data = digits()
    network = train_classifier(data.train, data.train_labels, **CHOSEN)
    save_file(network.state_dict(), path)
    print(f"accuracy on the {len(data.heldout)} held-out images: {accuracy_of(network, data.heldout, data.heldout_labels):.4f}")
    print(f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["select"]:
            compare_settings()
        case ["train", file]:
            train_chosen(Path(file))
        case _:
            sys.exit(__doc__)

"""The data of the task `digits`, which comes with scikit-learn."""

import numpy as np

from fidrace.data.base import Data, content_sha256


def digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8x8 with 17 grey levels: 1,500 to train, 297 held out, stratified."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    split = train_test_split(images, labels.astype(np.int64), test_size=297, stratify=labels, random_state=0)
    train, heldout, train_labels, heldout_labels = split
    sha256 = content_sha256(train, train_labels, heldout, heldout_labels)
    return Data(train, train_labels, heldout, heldout_labels, levels=17, sha256=sha256)

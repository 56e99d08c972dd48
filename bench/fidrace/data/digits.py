"""The data of the task `digits`: images of scikit-learn, packaged here."""

from pathlib import Path

import numpy as np

from fidrace.data.base import Data, content_sha256

# Grey levels 0 to 16 and labels, as scikit-learn's load_digits has them (the test set of "Optical Recognition of Handwritten
# Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0), split by its train_test_split(test_size=297,
# stratify=labels, random_state=0). A file, because importing scikit-learn takes longer than a short run.
FILE = Path(__file__).parent / "digits.npz"


def digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8x8 with 17 grey levels: 1,500 to train, 297 held out, stratified."""
    with np.load(FILE, allow_pickle=False) as file:
        train, heldout = ((file[part] / 8 - 1).astype(np.float32) for part in ("train", "heldout"))
        train_labels, heldout_labels = (file[f"{part}_labels"].astype(np.int64) for part in ("train", "heldout"))
    sha256 = content_sha256(train, train_labels, heldout, heldout_labels)
    return Data(train, train_labels, heldout, heldout_labels, levels=17, sha256=sha256)

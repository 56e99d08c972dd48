"""The packaged digits are scikit-learn's, split as scikit-learn splits."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fidrace.data.loading import load_data
from fidrace.spec.task import load_task


def test_the_packaged_digits_are_scikit_learns_split_stratified() -> None:
    data = load_data(load_task("digits").data)
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels.reshape(-1, 1, 8, 8) / 8 - 1, labels, test_size=297, stratify=labels, random_state=0)
    for ours, theirs in zip((data.train, data.heldout, data.train_labels, data.heldout_labels), split, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (data.train.dtype, data.train_labels.dtype) == (np.float32, np.int64)

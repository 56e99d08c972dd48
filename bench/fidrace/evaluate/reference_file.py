"""Published reference statistics: an .npz file of mu[D] and sigma[D, D] (ADM's files hold more, which is not read)."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fidrace.errors import InputError
from fidrace.storage.cache import open_verified

# Tolerance, relative to the largest entry or eigenvalue: numpy.cov of float32 features leaves errors of about 1e-7.
TOLERANCE = 1e-6


def read_reference_file(path: Path, sha256: str | None, dimension: int) -> tuple[Tensor, Tensor]:
    """mean[D] and covariance[D, D], float64. Raises InputError if the file has another SHA-256, is damaged, or does not hold
    the mean and covariance of D features."""
    with open_verified(path, sha256, "name the file of mu and sigma: `--set quality.reference=FILE`") as file:
        mu, sigma = read_arrays(path, file)
    mean, covariance = as_float64(path, "mu", mu, (dimension,)), as_float64(path, "sigma", sigma, (dimension, dimension))
    scale = covariance.abs().max()
    if (covariance - covariance.T).abs().max() > TOLERANCE * scale:
        raise InputError(f"{path}: sigma is no covariance: it is not symmetric")
    covariance = (covariance + covariance.T) / 2
    values = torch.linalg.eigvalsh(covariance)
    if values[0] < -TOLERANCE * values[-1].abs():
        raise InputError(f"{path}: sigma is no covariance: its smallest eigenvalue is {values[0]:.3g}")
    return mean, covariance


def read_arrays(path: Path, file: Any) -> tuple[Any, Any]:
    """mu and sigma as stored in the file; nothing is unpickled."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["mu"], arrays["sigma"]
    except KeyError as error:
        raise InputError(f"{path}: no array {error.args[0].split()[0]!r} in it") from None
    # numpy and zipfile raise these for files that are truncated, no archive, encrypted, or hold Python objects.
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path}: damaged, or no .npz file of plain numbers") from None


def as_float64(path: Path, name: str, array: Any, shape: tuple[int, ...]) -> Tensor:
    if array.shape != shape or array.dtype.kind != "f":
        raise InputError(f"{path}: {name} is {array.dtype}{list(array.shape)}, not floats {list(shape)} as the features are")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {name} holds NaN or infinite numbers")
    return torch.from_numpy(array.astype(np.float64))

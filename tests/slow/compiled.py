"""A compiled network on the CPU trains as the other does: the largest relative difference of losses over 20 steps on digits.

python -m tests.slow.compiled      a minute the first time, almost all of it compiling; its last figure is in docs/speed.md
"""

from time import perf_counter

import numpy as np
import torch

from tests.test_gpu import losses


def main() -> None:
    torch.set_num_threads(1)
    plain = losses("cpu")
    start = perf_counter()
    compiled = losses("cpu", compile=True)
    print(f"{np.abs(compiled / plain - 1).max():.1e}, {perf_counter() - start:.0f} s with compiling")
    assert not np.array_equal(compiled, plain)  # or nothing was compiled


if __name__ == "__main__":
    main()

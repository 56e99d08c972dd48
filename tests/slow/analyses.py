"""Runs each analysis at full size on digits, from an empty folder: none may take more than five minutes.

python -m tests.slow.analyses [ANALYSIS...]
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.conftest import COMMAND, ENVIRONMENT

LIMIT = 300.0  # seconds, on two cores
ANALYSES = ("consistency", "difficulty", "landscape", "robustness")


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        for name in sys.argv[1:] or ANALYSES:
            start = perf_counter()
            subprocess.run([*COMMAND, "analyze", name], cwd=work, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
            seconds = perf_counter() - start
            folder = Path(work, "results", "local", f"{name}-digits")
            print(f"{name}: {seconds:.0f} s; {', '.join(sorted(path.name for path in folder.glob('*.*')))}\n", flush=True)
            assert seconds < LIMIT


if __name__ == "__main__":
    main()

"""Every figure that docs/speed.md asks of a GPU, and the tests that wait for one, by one command in a quarter of an hour.

    python -m tests.slow.gpu [FOLDER]      FOLDER: results/local/gpu

Each part's output is kept in FOLDER when the part has ended; the same command goes on with the parts that are missing, and ends
with all of them, ready to be pasted. Without a GPU the same parts run on the CPU, with few images.
"""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import torch

from fidrace.storage.atomic import write_atomic

SECONDS = 900
PYTEST = "pytest -q -rs -p no:cacheprovider tests/test_gpu.py"


def parts(cuda: bool) -> dict[str, str]:
    """What is run, by name, the most telling first."""
    whole, half = (128, 32) if cuda else (2, 1)
    rounds = 15 if cuda else 1
    return {
        "tests": PYTEST,
        "settings": f"tests.slow.speed cifar10 {whole} {rounds}",
        "plain-loop": f"benchmarks.training {whole} {rounds}",
        "noise": f"tests.slow.noise {rounds if cuda else 3}",
        "settings-imagenet64": f"tests.slow.speed imagenet64 {half} {rounds // 3 or 1}",
        "distances": f"benchmarks.frechet {10_000 if cuda else 3_000} {3 if cuda else 1}",
    }


def run_part(words: str, seconds: float) -> str | None:
    """What the part printed; None if it did not end in time. A failing test is an answer too."""
    command = [sys.executable, "-m", *words.split()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=os.environ)
    except subprocess.TimeoutExpired:
        return None
    said = done.stdout.strip()
    return said if done.returncode == 0 else f"{said}\nexit code {done.returncode}: {done.stderr.strip()[-1000:]}"


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    started, missing = monotonic(), []
    for name, words in parts(torch.cuda.is_available()).items():
        path, left = folder / f"{name}.md", SECONDS - (monotonic() - started)
        if not path.exists():
            print(f"{name}: python -m {words}", file=sys.stderr, flush=True)
            said = run_part(words, left) if left > 0 else None
            if said is None:
                missing.append(name)
                continue
            write_atomic(path, f"    python -m {words}\n\n{said}\n")
    for path in sorted(folder.glob("*.md")):
        print(path.read_text(encoding="utf-8"))
    if missing:
        print(f"not ended within {SECONDS} s: {', '.join(missing)}; the same command goes on", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("results/local/gpu")))

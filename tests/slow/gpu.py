"""Every figure that docs/speed.md asks of a GPU, and the tests that wait for one, by one command in a quarter of an hour.

    python -m tests.slow.gpu [FOLDER [SECONDS]]      results/local/gpu, 900

Each part is printed when it has ended, ready to be pasted, and kept in FOLDER under the machine and the revision that it was
measured on: the same command goes on with what is missing. Without a GPU the same parts run on the CPU, with few images.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch

from fidrace.execute.local import devices
from fidrace.execute.provenance import device_name, revision
from fidrace.storage.atomic import write_atomic
from fidrace.train.process_group import ProcessGroup


@dataclass(frozen=True)
class Part:
    """A command, the seconds that it may take, and the exit codes of an answer: a failing test is one."""

    name: str
    words: str
    seconds: float
    answers: tuple[int, ...] = (0,)


def parts(cuda: bool) -> list[Part]:
    """The most telling first."""
    images, rounds = (128, 15) if cuda else (2, 1)
    large = [Part("settings-imagenet64", "tests.slow.speed imagenet64 8 5", 240)]  # all settings at once: 44 GiB
    return [
        Part("settings", f"tests.slow.speed cifar10 {images} {rounds}", 240),
        Part("plain-loop", f"benchmarks.training {images} {rounds}", 240),
        Part("noise", f"tests.slow.noise {rounds + 2}", 60),
        *(large if cuda else []),
        Part("distances", f"benchmarks.frechet {10_000 if cuda else 3_000} {3 if cuda else 1}", 180),
        Part("tests", "pytest -q -rs -p no:cacheprovider tests/test_gpu.py", 300, (0, 1)),
    ]


def run_part(part: Part, seconds: float) -> str:
    """What the part printed. Raises RuntimeError if it did not end in time, or not with an answer; nothing of it goes on."""
    command = [sys.executable, "-m", *part.words.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not ended within {seconds:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode not in part.answers:
        raise RuntimeError(f"exit code {process.returncode}: {errors.strip()[-500:]}")
    return said.strip()


def main(folder: Path, seconds: float) -> int:
    ranks = ProcessGroup(torch.device(devices("auto")[0]))
    where, started, missing = f"{device_name(ranks)}, torch {torch.__version__}, revision {revision()}", monotonic(), []
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts(ranks.device.type == "cuda"):
        path, heading = folder / f"{part.name}.md", f"On {where}:\n\n    python -m {part.words}\n\n"
        if not (path.exists() and path.read_text(encoding="utf-8").startswith(heading)):
            try:
                said = run_part(part, min(part.seconds, max(seconds - (monotonic() - started), 1)))
            except RuntimeError as error:
                missing.append(f"{part.name}: {error}")
                continue
            write_atomic(path, f"{heading}{said}\n")
        print(path.read_text(encoding="utf-8"), flush=True)
    for why in missing:
        print(f"missing: {why}; the same command tries it again", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    given = sys.argv[1:] + ["results/local/gpu", "900"][len(sys.argv) - 1 :]
    sys.exit(main(Path(given[0]), float(given[1])))

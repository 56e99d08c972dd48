"""How much of fidrace two commands visit: `fidrace run` up to the first optimizer step, and `fidrace score`.

    python -m tests.slow.trace [--list]      its last figures are in CONTRIBUTING.md

Both commands run in processes of their own, with every line that they execute in fidrace's files traced, worker processes
included. Printed for each: the modules in which a function was entered (importing a module is not entering one), the lines
of those modules' files, and the distinct lines executed in all files, those of imports included. About a minute.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SMALL = "--set quality.samples=80 --set sampler.steps=2 --set quality.heldout_repeats=1 --device cpu --workers 1".split()
RUN = ["run", "digits", "-m", "baseline", "--seeds", "1", "--budget", "12", "--set", "budget.evaluations=3", *SMALL]
SCORE = ["score", "results/digits"]
VISITS, ROOTS = "FIDRACE_TRACE_VISITS", "FIDRACE_TRACE_ROOTS"

# Every interpreter imports sitecustomize before anything else: the command, and the workers that it spawns.
SITECUSTOMIZE = """
import atexit, inspect, json, os, sys, threading, time

ROOTS = tuple(os.environ["FIDRACE_TRACE_ROOTS"].split(os.pathsep))
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
lines, entered, first_step = {}, {}, []  # (file, line) and file, each with the moment of its first visit


def trace(frame, event, argument):
    code = frame.f_code
    file = code.co_filename
    if not file.startswith(ROOTS):
        if code.co_name == "step" and "/torch/optim/adam" in file and not first_step:
            first_step.append(time.monotonic())
        return None
    if code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in COMPREHENSIONS:  # neither a module nor a class body
        entered.setdefault(file, time.monotonic())
    return trace_lines(frame, "line", argument)


def trace_lines(frame, event, argument):
    if event == "line":
        lines.setdefault((frame.f_code.co_filename, frame.f_lineno), time.monotonic())
    return trace_lines


def write():
    sys.settrace(None)
    found = {"entered": list(entered.items()), "lines": list(lines.items()), "first_step": first_step}
    with open(os.path.join(os.environ["FIDRACE_TRACE_VISITS"], f"{os.getpid()}.json"), "w") as file:
        json.dump(found, file)


atexit.register(write)
threading.settrace(trace)
sys.settrace(trace)
"""


def visited(words: list[str], repository: Path, roots: list[Path], command: list[str]) -> tuple[dict[str, int], int]:
    """The lines of each file in which the command entered a function, and the number of distinct lines that it executed; up
    to the first optimizer step if there is one."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "sitecustomize.py").write_text(SITECUSTOMIZE)
        python_path = os.pathsep.join(map(str, (scratch, repository / "bench", repository)))
        own = {VISITS: scratch, ROOTS: os.pathsep.join(map(str, roots)), "PYTHONPATH": python_path}
        subprocess.run(
            [sys.executable, *command, *words], env=os.environ | own, cwd=repository, stdout=subprocess.DEVNULL, check=True
        )
        found = [json.loads(path.read_text()) for path in Path(scratch).glob("*.json")]
    end = min([moment for process in found for moment in process["first_step"]], default=float("inf"))
    files = {file for process in found for file, moment in process["entered"] if moment <= end}
    lines = {tuple(place) for process in found for place, moment in process["lines"] if moment <= end}
    return {file: len(Path(file).read_text().splitlines()) for file in sorted(files)}, len(lines)


def main(repository: Path = REPOSITORY, packages: str = "bench/fidrace methods", module: str = "fidrace") -> None:
    roots = [repository / package for package in packages.split()]
    with tempfile.TemporaryDirectory() as scratch:
        for name, words in (
            ("fidrace run to the first optimizer step", [*RUN, "--out", f"{scratch}/study"]),
            ("fidrace score results/digits", SCORE),
        ):
            files, lines = visited(words, repository, roots, ["-m", module])
            print(f"{name}: {len(files)} modules of {sum(files.values()):,} lines entered, {lines:,} lines executed")
            if "--list" in sys.argv:
                for file, length in files.items():
                    print(f"  {length:4} {Path(file).relative_to(repository)}")


if __name__ == "__main__":
    main()

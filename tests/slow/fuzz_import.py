"""A coverage-guided fuzz of the readers of `fidrace import`, by Atheris (libFuzzer for Python; `pip install atheris`).

    python -m tests.slow.fuzz_import READER SECONDS       its last figures are in docs/reliability.md

It starts from the valid file of tests/test_import_fuzz.py and keeps what reaches new code. A file must be imported into tables
that can be read, or be refused by one InputError with nothing left behind; anything else ends the run with the file.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fidrace.readers", "fidrace.score"]):
    from tests.test_import_fuzz import VALID, attempt, event_file


def main(reader: str, seconds: str) -> None:
    name, content = ("events.out.tfevents.1", event_file()) if reader == "tensorboard" else VALID[reader]
    counts = {True: 0, False: 0}

    def once(data: bytes) -> None:
        counts[attempt(reader, name, data)] += 1
        if sum(counts.values()) % 1000 == 0:
            print(f"{reader}: {counts[True]:,} files imported, {counts[False]:,} refused", flush=True)

    with tempfile.TemporaryDirectory() as corpus:
        Path(corpus, "valid").write_bytes(content if isinstance(content, bytes) else content.encode())
        atheris.Setup([sys.argv[0], corpus, f"-max_total_time={seconds}", "-max_len=4000", "-print_final_stats=1"], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

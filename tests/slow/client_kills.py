"""A study of somebody's trainer whose processes are killed at random moments: the tables are those of an undisturbed study,
byte for byte but for times.

    python -m tests.slow.client_kills CLIENT KILLS [OPTION...]      CLIENT.toml in examples/; figures in docs/your-trainer.md
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import Study, assert_same, killed_again_and_again

EXAMPLES = Path(__file__).parents[2] / "examples"


def main(client: str, kills: str, *options: str) -> None:
    words = ("run", str(EXAMPLES / f"{client}.toml"), *options)
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        Study([*words, "--out", "undisturbed"], folder, "undisturbed").ended(0, 7200)
        undisturbed = time.monotonic() - start
        print(f"undisturbed: {undisturbed:.0f} s", flush=True)
        chance = random.Random(0)
        moments = [chance.uniform(0, 2 * undisturbed / int(kills)) for _ in range(int(kills))]
        taken = killed_again_and_again(folder, moments, words, seconds=7200)
        assert_same(folder / "killed", folder / "undisturbed")
        resumed = [step for _, _, step in taken if step]
        print(f"{kills} kills: runs taken up {len(taken)} times, {len(resumed)} of them from a checkpoint, tables equal")


if __name__ == "__main__":
    main(*sys.argv[1:])

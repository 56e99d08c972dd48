"""How long a browser takes from a file to drawn charts, for the page of a study of 20 methods x 10 seeds x 40 evaluations; with
a study's folder and a file, also a picture of that study's page.

    python -m tests.slow.report [DIR FILE.png]
"""

import io
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fidrace.report.page.build import PAGE, FolderContent, write_page
from tests.browser import browser, opened, template_sha256
from tests.large_study import large_study

TIMES, LIMIT = 7, 3.0  # loads, seconds
SCREEN = {"width": 1100, "height": 1660}


def loads(path: Path) -> list[float]:
    """Seconds of each load, each in a window of its own."""
    found = []
    with browser() as chromium:
        for _ in range(TIMES):
            start = perf_counter()
            page = opened(chromium, path)
            found.append(perf_counter() - start)
            assert page.said == []
            page.page.context.close()
    return found


def picture(folder: Path, file: Path) -> None:
    """The first screens of a page, with the hash of the template that it was made from (tests/test_report_of_tables.py)."""
    with browser() as chromium:
        page = opened(chromium, folder / PAGE, viewport=SCREEN, color_scheme="light").page
        shot = Image.open(io.BytesIO(page.screenshot(clip={"x": 0, "y": 0, **SCREEN})))
    about = PngInfo()
    about.add_text("template", template_sha256())
    shot.convert("RGB").save(file, optimize=True, pnginfo=about)


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        large_study(folder)
        path = write_page(folder, FolderContent.of(folder))
        seconds = loads(path)
        size, most = path.stat().st_size / 1e6, max(seconds)
        print(f"{size:.1f} MB, drawn after {median(seconds):.2f} s (median of {TIMES}; {most:.2f} at most)")
        assert median(seconds) < LIMIT
    if sys.argv[1:]:
        folder, file = map(Path, sys.argv[1:])
        picture(folder, file)


if __name__ == "__main__":
    main()

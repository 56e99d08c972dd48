"""The plain loop of an example: the file without what the race has added.

    python examples/plain.py diffusers_loop                      print it
    python examples/plain.py diffusers_loop --diff               what the race adds, as a diff
    python examples/plain.py diffusers_loop train --out DIR ...  run it

A line that ends in `# race` is the race's own; `# race, for: CODE` stands in the place of CODE.
"""

import difflib
import runpy
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def plain(text: str) -> str:
    """The text without the race; what stood below a `with` of the race moves to the left."""
    lines: list[str] = []
    inside = -1  # the indentation of a `with` that was left out
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= inside:
            inside = -1
        code, mark, instead = line.partition("  # race")
        if mark and instead.startswith(", for: "):
            lines.append(" " * indent + instead.removeprefix(", for: "))
        elif mark:
            inside = indent if code.lstrip().startswith("with ") else inside
        else:
            lines.append(line[4:] if inside >= 0 and line.strip() else line)
    return "\n".join(lines) + "\n"


def difference(name: str) -> str:
    raced = (HERE / f"{name}.py").read_text()
    unmarked = "\n".join(line.partition("  # race")[0] for line in raced.splitlines()) + "\n"
    files = plain(raced).splitlines(keepends=True), unmarked.splitlines(keepends=True)
    lines = list(difflib.unified_diff(*files, n=0))[2:]
    return "".join(line for line in lines if not line.startswith("@@"))


def main(name: str, *arguments: str) -> None:
    text = plain((HERE / f"{name}.py").read_text())
    if not arguments or arguments == ("--diff",):
        print(difference(name) if arguments else text, end="")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}_plain.py")
        file.write_text(text)
        sys.path.insert(0, str(HERE))
        sys.argv = [str(file), *arguments]
        runpy.run_path(str(file), run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])

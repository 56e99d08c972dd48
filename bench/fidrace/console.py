"""Lines for people, on stderr; stdout belongs to tables and JSON."""

import sys


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """One line that steers no terminal, whatever was in it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

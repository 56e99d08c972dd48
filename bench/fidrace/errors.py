"""Errors with a message of one line for the person who runs the command."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used; the message is one line: what, where, the nearest valid choice."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the choice closest to `word`, or the list of choices if none is close."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else f" (choices: {', '.join(choices)})"


class NothingToConclude(Exception):
    """The input is valid, but no verdict follows from it: no baseline, no pair, no run that ended."""


class GroupFailed(Exception):
    """A process that trains a run together with others cannot go on, and so none of them can. The message is rank 0's line; the
    other processes have none."""

"""Errors whose message is for the person who runs the command: one line each."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What a person gave cannot be used; the message is one line for them: what, where, the nearest valid choice."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the choice closest to `word`, or the list of choices where none is close."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else f" (choices: {', '.join(choices)})"


class NothingToConclude(Exception):
    """The input is fine, but no verdict follows from it: no baseline, no pair, no run that came to its end."""

"""Text for people: lines on stderr (stdout belongs to tables and JSON), in whatever characters the console can show."""

import codecs
import io
import sys

# What a console that is not UTF-8 shows instead of the symbols that fidrace prints.
SUBSTITUTES = {
    **{"×": "x", "≤": "<=", "≥": ">=", "–": "-", "—": "-", "±": "+-", "∞": "inf", "…": "...", "·": "|", "→": "->"},
    **{"✓": "+", "✗": "-", "α": "alpha", "β": "beta", "ε": "eps", "σ": "sigma", "é": "e", "²": "^2"},
    **dict(zip("▁▂▃▄▅▆▇█", "_.-=+*%#", strict=True)),  # sparklines: one character each, so that columns stay aligned
    **dict(zip("━─│╭╮╰╯┏┓┗┛┃┡┩└┘├┤┼╇", "--|++++++++|++++++++", strict=True)),
}


def say(text: str) -> None:
    """Print one line on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """`text` on one line, with control characters escaped so that they cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def make_printable() -> None:
    """Let stdout and stderr take any text: characters outside their encoding are substituted instead of raising
    UnicodeEncodeError."""
    codecs.register_error("fidrace", substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fidrace")


def substitute(error: UnicodeError) -> tuple[str, int]:
    """The codec error handler: ASCII for the characters that cannot be encoded, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SUBSTITUTES.get(letter, "?") for letter in error.object[error.start : error.end]), error.end

"""Text for people: lines on stderr (stdout belongs to tables and JSON), in whatever characters the console can show."""

import codecs
import io
import sys
import unicodedata

# What a console shows instead of the symbols that fidrace prints, if its encoding lacks them. (rich draws its tables in ASCII
# by itself.) The blocks of a sparkline are one character each, so that columns stay aligned.
SUBSTITUTES = {
    **{"×": "x", "≤": "<=", "≥": ">=", "–": "-", "±": "+-", "∞": "inf", "…": "...", "✓": "+", "✗": "-", "β": "beta"},
    **dict(zip("▁▂▃▄▅▆▇█", "_.-=+*%#", strict=True)),
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
    """The codec error handler: ASCII for the characters that cannot be encoded, and the position after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(to_ascii, error.object[error.start : error.end])), error.end


def to_ascii(letter: str) -> str:
    """A substitute for `letter`: `e` for é, and ? if there is none."""
    plain = unicodedata.normalize("NFKD", letter)
    return SUBSTITUTES.get(letter) or plain.encode("ascii", "ignore").decode() or "?"

"""The command's verbs, each a few lines, in the rooms beside this file; here is what they share. What is heavy is imported
inside the verb that needs it.
"""

import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from fidrace.errors import InputError

GATE, USAGE, NOTHING, SOME_FAILED, INTERRUPTED = 1, 2, 3, 4, 130


def guard_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Make errors of input one line and an exit code; anything else is a defect and keeps its traceback."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> None:
        from fidrace.errors import NothingToConclude

        if threading.current_thread() is threading.main_thread():  # SIGTERM is Ctrl-C: what it interrupts can go on
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            function(*arguments, **options)
        except InputError as error:
            fail(str(error), USAGE)
        except NothingToConclude as error:
            fail(str(error), NOTHING)
        except KeyboardInterrupt:
            fail("interrupted; the same command goes on from here", INTERRUPTED)
        except OSError as error:  # a folder in a file's place, no space, no permission
            fail(f"{error.filename or 'input or output'}: {error.strerror or error}", USAGE)

    return call


def fail(message: str, code: int) -> None:
    from fidrace.console import say

    say(f"fidrace: {' '.join(message.split())}")
    raise typer.Exit(code)

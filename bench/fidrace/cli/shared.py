"""What the verbs share: arguments, exit codes, errors as one line, help without types.

One file per verb lies beside this one. A verb imports what is heavy when it runs, so that --help stays fast.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand

from fidrace.errors import InputError

GATE, USAGE, NOTHING, SOME_FAILED, INTERRUPTED = 1, 2, 3, 4, 130
TRAINING = ("torch", "torchvision", "torch_fidelity", "safetensors", "PIL")  # modules of fidrace[train]
NEEDED = ("torch", "safetensors", "PIL")  # by every task; the others only by some
INSTALL = "pip install 'fidrace[train]'"


class Verb(TyperCommand):
    """A command whose help names arguments as the usage line does, without the Python types that typer appends."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "").replace("[[", "[").replace("]]", "]") for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for kind in ("argument", "option"):
            parameters = [parameter for parameter in self.get_params(ctx) if parameter.param_type_name == kind]
            records = filter(None, (parameter.get_help_record(ctx) for parameter in parameters))
            rows = [(name.partition(" <")[0] if kind == "argument" else name, text) for name, text in records]
            if rows:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(rows)


def guard_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Turn errors that the user can mend into one line and an exit code; any other is a defect and keeps its traceback."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> None:
        from fidrace.errors import GroupFailed, NothingToConclude

        if threading.current_thread() is threading.main_thread():  # SIGTERM acts as Ctrl-C, which leaves runs resumable
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            function(*arguments, **options)
        except InputError as error:
            fail(str(error), USAGE)
        except NothingToConclude as error:
            fail(str(error), NOTHING)
        except GroupFailed as error:
            leave_at_once(str(error), SOME_FAILED)
        except KeyboardInterrupt:
            fail("interrupted; the same command resumes", INTERRUPTED)
        except ModuleNotFoundError as error:
            if (module := str(error.name).partition(".")[0]) not in TRAINING:
                raise
            fail(missing_modules("this command", [module]), USAGE)
        except OSError as error:  # for example a file in a folder's place, a full disk, no permission
            fail(f"{error.filename or 'input or output'}: {error.strerror or error}", USAGE)

    return call


def require_training(what: str) -> None:
    """Raise InputError with the install command if `what` (a command, for the message) lacks torch or its companions."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(missing_modules(what, missing))


def missing_modules(what: str, modules: list[str]) -> str:
    return f"{what} needs {', '.join(modules)}, which the base install leaves out: {INSTALL}"


def leave_at_once(message: str, code: int) -> None:
    """Say `message`, if there is one, and end the process without waiting for threads, one of which may wait for a process that
    is gone."""
    if message:
        from fidrace.console import say

        say(f"fidrace: {message}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fail(message: str, code: int) -> None:
    from fidrace.console import say

    say(f"fidrace: {' '.join(message.split())}")
    raise typer.Exit(code)

"""The command `fidrace`: its verbs in the order of its help, its version, and completion for shells."""

import sys
from typing import Annotated

import typer
from typer.completion import get_completion_inspect_parameters, install_callback, show_callback

from fidrace.cli.analyze import analyze
from fidrace.cli.check import check
from fidrace.cli.claims import claims
from fidrace.cli.doctor import doctor
from fidrace.cli.fid import fid
from fidrace.cli.import_logs import import_logs
from fidrace.cli.leaderboard import leaderboard
from fidrace.cli.merge import merge
from fidrace.cli.methods import methods
from fidrace.cli.plan import plan
from fidrace.cli.report import report
from fidrace.cli.run import run
from fidrace.cli.score import score
from fidrace.cli.shared import USAGE, Verb, guard_errors
from fidrace.cli.site import site
from fidrace.cli.target import target
from fidrace.cli.tasks import tasks
from fidrace.cli.tune import tune
from fidrace.cli.verify import verify
from fidrace.console import make_printable

SHELLS = ("bash", "zsh", "fish")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,  # typer's own options guess the shell and fail if there is none; these below take its name
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (run, tune, plan, target, score, leaderboard, report, site, check, verify, claims, merge, methods, tasks, doctor):
    app.command(cls=Verb)(guard_errors(verb))
app.command("import", cls=Verb)(guard_errors(import_logs))
app.command(cls=Verb)(guard_errors(fid))
app.add_typer(analyze, name="analyze")
get_completion_inspect_parameters()  # registers typer's completion for the shells


def print_version(wanted: bool) -> None:
    if wanted:
        import fidrace

        print(f"fidrace {fidrace.__version__}")
        raise typer.Exit


def check_shell(shell: str | None) -> str | None:
    """The shell; raises BadParameter for one that completion is not offered for."""
    if shell is not None and shell not in SHELLS:
        raise typer.BadParameter(f"unknown shell {shell!r} (choices: {', '.join(SHELLS)})")
    return shell


def install_completion(ctx: typer.Context, param: typer.CallbackParam, shell: str | None) -> None:
    install_callback(ctx, param, check_shell(shell))


def show_completion(ctx: typer.Context, param: typer.CallbackParam, shell: str | None) -> None:
    show_callback(ctx, param, check_shell(shell))


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=print_version)] = False,
    install: Annotated[
        str | None,
        typer.Option(
            "--install-completion",
            metavar="SHELL",
            help="Set up Tab completion: bash, zsh or fish.",
            callback=install_completion,
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option("--show-completion", metavar="SHELL", help="Print the script that sets it up.", callback=show_completion),
    ] = None,
) -> None:
    """How many iterations to the target FID, and is the difference real?

    Races methods that claim to train diffusion models faster, and judges the claims.

    \b
    Start here:
      fidrace score digits      the published race on real 8x8 digits
      fidrace run --dry-run     what it takes to race on this machine
      fidrace run               race the default methods, minutes on a CPU
      fidrace COMMAND --help    options and examples
    """


def main() -> None:
    """Run the command. A command line that cannot be parsed is one line and exit code 2, like other wrong input."""
    make_printable()
    try:
        code = app(prog_name="fidrace", standalone_mode=False)
    except typer.Abort:
        sys.exit(USAGE)
    except OSError as error:  # of what is printed before a verb begins, as --version on a full disk
        print(f"fidrace: {error.strerror or error}", file=sys.stderr)
        sys.exit(USAGE)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error of click, which typer may carry a copy of
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]  # the help
        else:
            print(f"fidrace: {' '.join(error.format_message().split())} (see --help)", file=sys.stderr)
        sys.exit(USAGE)
    sys.exit(code)


if __name__ == "__main__":
    main()

"""The command `fidrace`: its verbs in the order of its help."""

import sys

import typer

from fidrace.cli.analyze import analyze
from fidrace.cli.check import check
from fidrace.cli.claims import claims
from fidrace.cli.doctor import doctor
from fidrace.cli.merge import merge
from fidrace.cli.methods import methods
from fidrace.cli.report import report
from fidrace.cli.run import run
from fidrace.cli.score import score
from fidrace.cli.shared import USAGE, guard_errors
from fidrace.cli.tasks import tasks
from fidrace.console import make_printable

app = typer.Typer(
    help="How many iterations to the target FID, and is the difference real? Races methods that claim to train diffusion "
    "models faster, and judges the claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (run, score, report, check, claims, merge, methods, tasks, doctor):
    app.command()(guard_errors(verb))
app.add_typer(analyze, name="analyze")


def main() -> None:
    """The command; what it cannot parse is one line too."""
    make_printable()
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(USAGE)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer brings its own copy of click, or not
            raise
        if len(sys.argv) == 1:
            error.show()  # type: ignore[attr-defined]  # the help
        else:
            print(f"fidrace: {' '.join(error.format_message().split())} (--help tells more)", file=sys.stderr)
        sys.exit(USAGE)
    sys.exit(code)


if __name__ == "__main__":
    main()

"""The options of the command's verbs, as types: each is declared once and read by every verb that has it."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

# score, check, report and their like
Folder = Annotated[
    Path, Argument(metavar="DIR", help="A folder with runs, or the name of published tables.", show_default=False)
]
Goal = Annotated[str | None, Option(metavar="FD|baseline-final", help="Score against another target, marked post hoc.")]
Axis = Annotated[str | None, Option(metavar="AXIS", help="iterations, images, seconds or forwards. Default: the table's unit.")]
Baseline = Annotated[str | None, Option(metavar="NAME", help="The method to compare with. Default: baseline.")]
Unit = Annotated[str | None, Option(metavar="UNIT", help="What training is counted in: iterations, kimg, images, epochs.")]
Length = Annotated[float | None, Option("--budget", metavar="N", help="Look at N units of training only.")]
Paired = Annotated[
    bool | None, Option("--paired/--unpaired", help="Equal seeds share (or do not share) their start, data and noise.")
]
Window = Annotated[
    float | None, Option(metavar="R", help="Average over the targets from target / R to target * R; 1: the target alone.")
]

# run and analyze: what is trained
Source = Annotated[str, Argument(metavar="TASK|STUDY|FILE.toml", help="What to race on (`fidrace tasks`).")]
TaskName = Annotated[str, Argument(metavar="[TASK]", help="The task to train on.")]
Methods = Annotated[list[str], Option("-m", "--method", metavar="METHOD", help="A method; repeat. Default: the task's.")]
MethodsPath = Annotated[list[str], Option("--methods-path", metavar="DIR", help="Also load the method files of this folder.")]
SEEDS_HELP = "A count (3 means 0, 1, 2) or a list of seeds."
Seeds = Annotated[str, Option(metavar="N|a,b,c", help=SEEDS_HELP)]
SeedsOrDefault = Annotated[str | None, Option(metavar="N|a,b,c", help=f"{SEEDS_HELP} Default: the task's.")]
UntilDecided = Annotated[
    bool,
    Option("--until-decided", help="Race a few seeds, and more only of methods that they do not decide (docs/protocol.md)."),
]
LookList = Annotated[str | None, Option("--looks", metavar="a,b,c", help="Decide after so many seeds. Default: 3,5,8,12,20.")]
Spending = Annotated[
    str | None, Option(metavar="a,b,c", help="The share of the error rate spent by each look. Default: nearly equal levels.")
]
Futility = Annotated[float | None, Option(metavar="F", help="Stop a method whose interval is below F. Default: 1.05.")]
Budget = Annotated[int | None, Option(metavar="ITERS", help="Iterations of every run.")]
GpuHours = Annotated[float | None, Option(metavar="H", help="Also end a run after H hours of training, times its GPUs.")]
Target = Annotated[str | None, Option(metavar="FD|baseline-final", help="The distance to reach. Default: the task's.")]
Change = Annotated[list[str], Option("--set", metavar="KEY=VALUE", help="Change the task: optimizer.lr=1e-4. Repeat.")]

Tuned = Annotated[
    Path | None, Option("--tuned", metavar="DIR", help="Race methods as `fidrace tune` chose them in DIR, and those of -m.")
]

# run and analyze: where it is trained
StudyOut = Annotated[Path | None, Option(metavar="DIR", help="Default: results/local/<study>.")]
AnalysisOut = Annotated[Path | None, Option(metavar="DIR", help="Default: results/local/<analysis>-<task>.")]
Workers = Annotated[
    int | None, Option(min=1, metavar="N", help="How many runs at a time. Default: one per GPU, or as many as the cores allow.")
]
ExecutorName = Annotated[str, Option(metavar="local|ray", help="local: processes on this machine; ray: a Ray cluster.")]
Address = Annotated[str | None, Option(metavar="HOST:PORT", help="The Ray cluster. Default: this machine's.")]
Gpus = Annotated[float | None, Option(metavar="G", min=0, help="GPUs for each run under ray, such as 1 or 0.5.")]
Device = Annotated[str, Option(metavar="auto|cpu|cuda", help="The device to train on.")]

# run and analyze: how
Prove = Annotated[
    bool,
    Option("--prove", help="Of a study with a [trainer]: two more runs show what its seed fixes, and if the adapter is inert."),
]
RetryFailed = Annotated[bool, Option("--retry-failed", help="Resume failed runs from their last checkpoint.")]
Fresh = Annotated[bool, Option("--fresh", help="Empty DIR first, after asking.")]
Yes = Annotated[bool, Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, Option("--dry-run", help="Show plan, cost and what is missing; exit code 2 if it cannot start.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object per event on stdout.")]
OpenReport = Annotated[bool, Option("--open", help="Open the report in the browser at the end.")]

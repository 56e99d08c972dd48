"""A folder's tables as pandas DataFrames, for notebooks."""

from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fidrace.errors import InputError, nearest
from fidrace.report.leaderboard import HEADINGS, leaderboard_lines, title
from fidrace.report.markdown import markdown
from fidrace.report.png import fd_figure, speedup_figure
from fidrace.score.leaderboard import Scores, score_folder
from fidrace.spec.user_input import Target

PICTURES = {"fd": fd_figure, "speedup": speedup_figure}


class StudyTables:
    """What a folder's runs.csv and evals.csv say, each table a DataFrame; docs/tables.md explains every column.

    `leaderboard`, `speedups`, `contrasts`, `guards` and `curve` are those that `fidrace score` writes; `runs` and `evals` are
    what they were made from, under fidrace's own names of columns whatever the file calls them. `rules` says what is compared
    and how, `remarks` how the tables were read. In a notebook the object shows its leaderboard; `str()` is leaderboard.md.
    """

    def __init__(self, scores: Scores):
        self.scores = scores
        self.leaderboard, self.speedups, self.contrasts = scores.leaderboard, scores.speedups, scores.contrasts
        self.guards, self.curve = scores.guards, scores.curve
        self.rules, self.remarks = scores.rules, scores.remarks

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run; seed -1 where a table does not tell it."""
        return pd.DataFrame([curve.about for curve in self.scores.curves])

    @cached_property
    def evals(self) -> pd.DataFrame:
        """One row an evaluation, in the order of training."""
        runs = [
            pd.DataFrame(curve.columns | {"fd": curve.fd, "fd_se": curve.se}).assign(
                task=curve.task, method=curve.method, seed=curve.seed, metric=self.scores.metric
            )
            for curve in self.scores.curves
        ]
        table = pd.concat(runs, ignore_index=True)
        first = ["task", "method", "seed", "iteration", "images", "forwards", "train_seconds", "metric", "fd", "fd_se"]
        return table[first + [name for name in table if name not in first]]

    def plot(self, picture: str = "fd") -> Figure:
        """The picture `fd` (distance against training) or `speedup` (speedup against target), as a matplotlib Figure of
        which nothing is shown or written yet. Raises InputError for another name."""
        if picture not in PICTURES:
            raise InputError(f"unknown picture {picture!r}{nearest(picture, PICTURES)}")
        return PICTURES[picture](self.scores)

    def __repr__(self) -> str:
        return markdown(self.scores)

    def _repr_html_(self) -> str:
        axis, lines = leaderboard_lines(self.scores)
        notes = [*self.remarks, self.scores.window_note(), *self.scores.without_interval, self.scores.headline()]
        cells = pd.DataFrame(lines, columns=pd.Index(HEADINGS)).to_html(index=False, border=0)
        return "".join(
            [f"<p><b>{escape(title(self.scores, axis))}</b></p>", cells, *(f"<p>{escape(one)}</p>" for one in notes if one)]
        )


def load_study(folder: str | Path, target: Target | None = None, **asked: Any) -> StudyTables:
    """The scored tables of `folder`, a path or the name of published tables. `asked` may be axis, contrasts, baseline, unit,
    budget, paired and window, and what they mean and what is raised is as in `fidrace.score.leaderboard.score_folder`. Nothing
    is written."""
    return StudyTables(score_folder(folder, target, **asked))

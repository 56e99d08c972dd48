"""Which points of the evaluation grid must be measured to know where the full grid would see a run cross.

Points are places 0, 1, ..., `last` on the grid. fd holds the distances measured so far, by place; training has `reached` a
place, and the averaged weights of earlier ones are kept as long as they may be asked for. Only every `step`-th place is
measured as it is reached. Once one of them is at or below an edge, bisection finds the crossing between it and the place
before, and the place after the crossing confirms it, by the rule of `find_crossing`.

A sustained crossing is a pair of neighbours at or below the target. With a step of 2 one of the two is measured in any case, so
no crossing is missed, whatever the curve; with more, one that begins and ends between two places goes unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

Distances = Mapping[int, float]
LAST_PLACES = 2  # of a run: they are always measured, because they say whether a crossing at the budget was kept


@dataclass(frozen=True)
class Search:
    """The rule for one run. `edges`: the highest and the lowest target that it is asked about, equal if there is one; None if
    it has no target in advance. With a `step` of 1 every place is measured."""

    edges: tuple[float, float] | None
    step: int
    last: int

    def next_place(self, fd: Distances, reached: int, ended: bool = False) -> int | None:
        """The next place to measure, none above `reached`; None if training can go on. `ended`: it goes no further."""
        ended = ended or reached == self.last
        due = range(reached - LAST_PLACES + 1, reached + 1) if ended else (reached,)
        for place in due:
            if place >= 0 and place not in fd and (place % self.step == 0 or ended or place >= self.last - 1):
                return place
        asked = [place for place in self.asked_by_edges(fd, reached, ended) if place <= reached]
        return asked[0] if asked else None

    def asked_by_edges(self, fd: Distances, reached: int, ended: bool) -> list[int]:
        """The places that the edges' crossings lack; some may be above `reached`."""
        if self.edges is None or self.step == 1:
            return []
        brackets = [bracket(fd, edge) for edge in self.edges]
        asked = [lacking for lacking, _ in brackets if lacking is not None]
        first, last = (crossing for _, crossing in brackets)
        if first is not None:  # from there on every target is asked about, down to the lower edge
            asked += [place for place in range(first, (reached if last is None else last) + 1) if place not in fd]
        if ended:  # whether a run has relapsed is seen in its last three evaluations
            crossed = [edge for edge, (_, crossing) in zip(self.edges, brackets, strict=True) if crossing is not None]
            if any(not fd[reached] <= edge for edge in crossed) and reached - LAST_PLACES not in fd:
                asked.append(reached - LAST_PLACES)
        return asked

    def has_crossed(self, fd: Distances) -> bool:
        """True if the crossing of the lower edge is known and confirmed."""
        return self.edges is not None and bracket(fd, self.edges[1])[1] is not None

    def may_be_asked(self, fd: Distances, reached: int) -> list[int]:
        """The places up to `reached` that are not measured and may be asked for later: those after the last one before the
        higher edge's crossing, or before where that may be; and the last three. At most `step` + 1 if FD only falls."""
        if self.edges is None or self.step == 1:
            return []
        first = reached - LAST_PLACES
        if not self.has_crossed(fd):
            lacking, crossing = bracket(fd, self.edges[0])
            open_from = next((place for place in (crossing, lacking) if place is not None), reached + 1)
            first = min(first, max((place for place in fd if place < open_from), default=-1) + 1)
        return [place for place in range(max(first, 0), reached + 1) if place not in fd]

    def allows(self, fd: Distances, reached: int, at_work: bool) -> bool:
        """True if a run that has `reached` a place can have measured just `fd`; `at_work`: it may not be done at that place."""
        known: dict[int, float] = {}
        for place in range(reached + 1):
            for ended in (False, True) if place == reached else (False,):
                while (asked := self.next_place(known, place, ended)) is not None:
                    if asked not in fd:
                        return place == reached and (at_work or ended) and len(known) == len(fd)
                    known[asked] = fd[asked]
        return len(known) == len(fd)


def bracket(fd: Distances, edge: float) -> tuple[int | None, int | None]:
    """The place that must be measured next to know the first sustained crossing of `edge`, or None; and the first of the two
    neighbours at or below it, or None if that is not known yet."""
    for before, place in pairwise(sorted(fd)):
        if not isfinite(fd[place]) and place - before > 1:  # the bracket reaches back to the last finite distance
            return place - 1, None
        if not fd[place] <= edge:
            continue
        if place - before > 1:
            return (before + place) // 2, None
        if place + 1 not in fd:
            return place + 1, None
        if fd[place + 1] <= edge:
            return None, place
    return None, None

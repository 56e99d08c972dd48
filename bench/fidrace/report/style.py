"""How methods look in every plot and on the page: a colour and a dash each, so that either alone tells most apart.

The colours are Okabe and Ito's, which the colour-blind can tell apart (Wong, Nature Methods 8, 441, 2011), without yellow, and
their black is the baseline's. Orange and sky blue are too pale for white paper (WCAG 2.2 asks for a contrast of 3): there these
two are brown and Tol's indigo.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fidrace.spec.user_input import BASELINE

INK = "#000000"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a3b00", "#332288")  # on white paper
ON_DARK = {"#7a3b00": "#e69f00", "#332288": "#56b4e9"}  # those that dark paper shows otherwise
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}  # plotly's names, matplotlib's


@dataclass(frozen=True)
class Style:
    """A colour (#rrggbb) and a dash by plotly's name."""

    colour: str
    dash: str

    @property
    def on_dark(self) -> str:
        """The colour on dark paper."""
        return ON_DARK.get(self.colour, self.colour)

    @property
    def linestyle(self) -> str:
        """The dash by matplotlib's name."""
        return DASHES[self.dash]


def styles(methods: Iterable[str], baseline: str = BASELINE) -> dict[str, Style]:
    """A style for each method; up to 24 methods beside the baseline have different ones."""
    others = sorted({*methods} - {baseline})
    found = {
        method: Style(COLOURS[k % len(COLOURS)], list(DASHES)[(k + k // 12) % len(DASHES)])  # 12: of 6 and 4
        for k, method in enumerate(others)
    }
    return {baseline: Style(INK, "solid"), **found}

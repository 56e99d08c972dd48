"""Looks: at which numbers of seeds a study that is raced until it is decided is scored, and what each look may spend."""

from itertools import pairwise
from math import e, log
from typing import Annotated, Any

import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.spec.user_input import Model

FIRST_LOOK, MOST_LOOKS, MOST_SEEDS = 3, 20, 10_000  # an interval takes three pairs


class Looks(Model):
    """What a user declares: `looks`, the numbers of seeds after which all methods are scored; `spending`, the share of the
    error rate that is spent by each look (empty: `pocock_shares`); `futility`, the factor below which a method is raced no
    further once its interval lies there."""

    looks: Annotated[tuple[int, ...], Field(min_length=1, max_length=MOST_LOOKS)] = (3, 5, 8, 12, 20)
    spending: tuple[float, ...] = ()
    futility: float = Field(default=1.05, gt=1)

    @pydantic.field_validator("looks")
    @classmethod
    def _increase(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if looks[0] < FIRST_LOOK:
            raise ValueError(f"the first look is at {looks[0]} seeds, and an interval takes {FIRST_LOOK}")
        if looks[-1] > MOST_SEEDS:
            raise ValueError(f"the last look is at {looks[-1]} seeds, and {MOST_SEEDS} are the most")
        for before, after in pairwise(looks):
            if after <= before:
                raise ValueError(f"looks increase, and {after} comes after {before}")
        return looks

    @pydantic.model_validator(mode="after")
    def _spend(self) -> "Looks":
        shares = self.spending
        if not shares:
            return self
        if len(shares) != len(self.looks):
            raise ValueError(f"spending: {len(shares)} shares for {len(self.looks)} looks; write one for each")
        if not shares[0] > 0 or shares[-1] > 1 or not all(b > a for a, b in pairwise(shares)):
            raise ValueError("spending: the shares spent by each look increase and are above 0 and at most 1, as in 0.2,0.5,1")
        return self

    @property
    def last(self) -> int:
        """The most seeds that a method is raced with."""
        return self.looks[-1]

    def shares(self) -> tuple[float, ...]:
        """The share of the error rate that is spent by each look."""
        return self.spending or pocock_shares(self.looks)

    def describe(self) -> str:
        """The looks and the factor of futility, in a line."""
        return f"looks at {self} seeds; a factor below {self.futility:g} is not pursued"

    def __str__(self) -> str:
        return ", ".join(map(str, self.looks))


class Design(Looks):
    """What study.json records: the looks with all shares, and `levels`, the one-sided level of each look's interval."""

    model_config = pydantic.ConfigDict(extra="allow")
    spending: tuple[float, ...] = Field(min_length=1)
    levels: tuple[Annotated[float, Field(ge=0, le=0.5)], ...]

    @pydantic.model_validator(mode="after")
    def _match(self) -> "Design":
        if len(self.levels) != len(self.looks):
            raise ValueError(f"levels: {len(self.levels)} for {len(self.looks)} looks")
        return self

    def describe(self) -> str:
        """The looks, the levels of their intervals and the factor of futility, in a line."""
        levels = ", ".join(f"{level:.2g}" for level in self.levels)
        return super().describe().replace(" seeds;", f" seeds, at one-sided levels {levels};")

    def same_plan(self, other: "Design | None") -> bool:
        """True if the other one declares the same looks, spending and futility."""
        mine = self.looks, self.spending, self.futility
        return other is not None and mine == (other.looks, other.spending, other.futility)


def pocock_shares(looks: tuple[int, ...]) -> tuple[float, ...]:
    """The spending function ln(1 + (e - 1) t) of Lan and DeMets (Biometrika 70, 1983), whose levels hardly differ from look to
    look, at t = looks / last look; rounded, because study.json keeps them."""
    return tuple(round(log(1 + (e - 1) * seeds / looks[-1]), 6) for seeds in looks)


def parse_numbers(option: str, text: str, kind: type) -> tuple[Any, ...]:
    """`3,5,8` as numbers; raises InputError for anything else."""
    wrong = InputError(f"{option} {text}: write numbers with commas, as in {'3,5,8' if kind is int else '0.2,0.5,1'}")
    try:
        numbers = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise wrong from None
    if not numbers:
        raise wrong
    return numbers

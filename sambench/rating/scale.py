"""The scale on which masks are rated, as the paper words it (appendix E): one place for files, pages and simulated raters."""

from __future__ import annotations

from typing import NamedTuple


class Band(NamedTuple):
    """Scores from `low` to `high` have one meaning. short: of a few words, for the pages; long: for the guidelines."""

    low: int
    high: int
    short: str
    long: str

    @property
    def scores(self) -> str:
        return f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"


BANDS = (
    Band(1, 1, "no object", "no object"),
    Band(2, 4, "huge errors", "an object, with huge errors"),
    Band(5, 6, "mostly sensible, significant errors", "mostly sensible, with significant errors"),
    Band(7, 9, "only minor boundary errors", "an object, with minor errors of the boundary"),
    Band(10, 10, "no visible error", "no visible error"),
)
QUESTIONS = (
    "Is it an object (or a part or a group that one could mean)?",
    "Is the boundary clean?",
    "Does it fit the prompt?",
)
AMBIGUITY = (
    "Several things may fit a point: a shirt, or the person who wears it. Rate the mask for what it shows, not for what you would "
    "have chosen."
)
PASSES = 4  # a control item is a wrong mask: the scale's "huge errors" or worse


def band_of(score: int) -> Band:
    """The band that a score from 1 to 10 is in. Raises ValueError on another number."""
    for band in BANDS:
        if band.low <= score <= band.high:
            return band
    raise ValueError(f"no score: {score}")

"""What the sections of the human study have in common: its ratings, read and checked once a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.errors import UsageError
from sambench.layout import style
from sambench.report.inputs import (
    Inputs,
)

if TYPE_CHECKING:
    import pandas as pd

    from sambench.metrics.ratings import RatingDifference
    from sambench.paper.evidence import Rated
    from sambench.rating.statistics import Ratings


NO_RATINGS = "no ratings given (--ratings FILE|DATABASE)"
GROUND_TRUTH = "ground_truth"


def ratings_of(inputs: Inputs) -> list[Ratings]:
    """The files and databases, each read and checked once a report."""
    from sambench.rating.statistics import read_ratings

    if "ratings" not in inputs.cache:
        inputs.cache["ratings"] = [read_ratings(path, key=inputs.key) for path in inputs.ratings]
    held: list[Ratings] = inputs.cache["ratings"]
    return held


def rated_differences(files: Sequence[str], key: Path | None, names: Sequence[str]) -> Rated:
    """Differences of mean ratings by dataset: of the first of names over the second (`baseline`) and the third (`single_output`).

    Raises UsageError where a pair of them is in none of the files, and as reading does.
    """
    from sambench.rating.statistics import read_ratings
    from sambench.rating.tables import differences

    model, *others = names
    read = [read_ratings(path, key=key) for path in files]
    out: dict[str, dict[str, RatingDifference]] = {}
    for variant, other in zip(("baseline", "single_output"), others, strict=False):
        why: UsageError | None = None
        for ratings in read:
            try:
                found = differences(ratings, model, other)
            except UsageError as e:  # of several files not each has both models
                why = why or e
                continue
            out.setdefault(variant, {}).update({dataset: pair for dataset, (pair, _) in found.items()})
        if why is not None and variant not in out:
            raise UsageError(why.message, where="--rated", expected=why.expected, found=why.found, remedy=why.remedy) from why
    return out


def scored(inputs: Inputs, prompt: str | None = None) -> pd.DataFrame:
    """The ratings of all files that count, of one kind of prompt if given."""
    import pandas as pd

    frame = pd.concat([r.scored for r in ratings_of(inputs)], ignore_index=True)
    return frame if prompt is None else frame[frame["prompt"] == prompt]


def notes_on(inputs: Inputs) -> tuple[str, ...]:
    """Where the ratings are from, and what was noted in reading them."""
    from sambench.rating.drivers import without_password

    names = ", ".join(without_password(str(place)).rpartition("/")[2] for place in inputs.ratings)
    return (f"Ratings: {names}.", *(n for r in ratings_of(inputs) for n in r.notes))


def place_of(i: int, model: str) -> int:
    """A model's place in the palette: ground truth is grey, whatever stands beside it."""
    return len(style.COLOURS) - 1 if model == GROUND_TRUTH else i

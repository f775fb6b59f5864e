"""The datasets of a suite as a Markdown table: what one mask is, what the paper counts, how one gets the files."""

from __future__ import annotations

from sambench import cards, text
from sambench.cards import DatasetCard, SuiteCard

_COLUMNS = ("dataset", "one mask is", "paper: images", "masks", "exactly reproducible", "access", "licence")
_LICENCE_CHARS = 60


def markdown(suite: SuiteCard) -> str:
    """One row a member, in the suite's order; members without a card say so. Ends with a line break."""
    known = cards.dataset_cards()
    rows = [
        _row(member, known[dataset]) if dataset in known else [f"`{member}`", "(no card in this version)", *[""] * 5]
        for member, dataset in zip(suite.members, suite.datasets, strict=True)
    ]
    lines = [_line(_COLUMNS), _line(["---", "---", "---:", "---:", "---", "---", "---"]), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _row(member: str, card: DatasetCard) -> list[str]:
    counts = [f"{card.paper.images:,}", f"{card.paper.masks:,}", card.paper.reproducible] if card.paper else ["", "", ""]
    return [f"`{member}`", card.one_mask, *counts, card.access.state, _short(card.licence)]


def _short(licence: str) -> str:
    """The licence's name without its small print, which `sambench show dataset` has."""
    head = licence.split(";")[0].split(" (")[0]
    return head if len(head) <= _LICENCE_CHARS else head[: _LICENCE_CHARS - 1].rsplit(" ", 1)[0] + "…"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(text.markdown(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

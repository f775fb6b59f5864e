"""The factory of cards whose model is one of the Hugging Face hub: `sambench.models.hf.card:on_hub`.

    factory = "sambench.models.hf.card:on_hub"
    [options]
    repo = "ORGANISATION/NAME"     # or ORGANISATION/NAME@REVISION; -M repo=./FOLDER takes a folder
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sambench.errors import UsageError, shown


class OnHub:
    """Says that a card stands for `hf:<option repo>`, with the card's other options; it is that source's model."""

    def named(self, options: Mapping[str, Any], card: str) -> tuple[str, dict[str, Any]]:
        """The name `hf:...` that a card with these options stands for, and the options that are left. Raises UsageError."""
        rest = dict(options)
        repo = rest.pop("repo", None)
        if not isinstance(repo, str) or not repo:
            expected, found = "ORGANISATION/NAME on the hub, or ./FOLDER", shown(repr(repo))
            raise UsageError("a card's model has no place", where=f"option repo of {card}", expected=expected, found=found)
        return f"hf:{repo.removeprefix('hf:')}", rest

    def __call__(self, **options: Any) -> Any:
        raise TypeError("a model of the hub is resolved by its source")


on_hub: Final = OnHub()

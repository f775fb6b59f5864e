"""What a card cites: the works, each with its parts, and the sentence made of them."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Work(_Frozen):
    """authors: family names in order, `others` last where not all are named. venue: with volume or year as it is cited."""

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int

    @property
    def text(self) -> str:
        names = f"{', '.join(self.authors[:-1])} et al." if self.authors[-1] == "others" else ", ".join(self.authors)
        return f"{names}: {self.title}. {self.venue}"

    @property
    def short(self) -> str:
        """In running text: `Ke et al.`"""
        return f"{self.authors[0]} et al." if len(self.authors) > 2 or "others" in self.authors else " and ".join(self.authors)

    @property
    def key(self) -> str:
        """In BibTeX: first author, year, first word of the title."""
        return re.sub(r"[^a-z0-9]", "", f"{self.authors[0]}{self.year}{self.title.split()[0]}".lower())


class Citation(_Frozen):
    """In a card a list of works, `citation = [{authors = ["Otsu"], title = "...", venue = "...", year = 1979}]`; or a sentence,
    where there is no such thing. The first work is what is cited, the others are to be read with it.
    """

    works: tuple[Work, ...] = ()
    sentence: str = ""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"sentence": value}
        return {"works": _tuples(value)} if isinstance(value, list | tuple) else value

    def __str__(self) -> str:
        return self.sentence or "; ".join(work.text for work in self.works)

    def __bool__(self) -> bool:
        return bool(self.works or self.sentence)


def _tuples(value: Any) -> Any:
    """Lists within as tuples: after a validator of ours pydantic takes values as Python's, and is strict about the two."""
    if isinstance(value, list | tuple):
        return tuple(map(_tuples, value))
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value

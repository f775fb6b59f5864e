"""Cards as text: TOML of the plain values that a card's tables hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sambench.cards.schema import DatasetCard

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(tables: Mapping[str, Any]) -> str:
    """A TOML file: plain values first, then a table for each mapping; values in a table may be any nesting of lists and mappings.

    Raises TypeError on what TOML has no form for.
    """
    plain = [f"{_key(k)} = {toml_value(v)}" for k, v in tables.items() if not isinstance(v, Mapping)]
    parts = ["\n".join(plain)] if plain else []
    for name, table in tables.items():
        if isinstance(table, Mapping):
            parts.append("\n".join([f"[{_key(name)}]", *(f"{_key(k)} = {toml_value(v)}" for k, v in table.items())]))
    return "\n\n".join(parts) + "\n"


def own_card_text(card: DatasetCard, name: str) -> str:
    """The card of a dataset of one's own as a file, under another id. card: as it was made of a name."""
    steps = ["it is data of one's own, on the machine where this card was written"] if card.access.state == "manual" else []
    access = {"state": card.access.state, **({"steps": steps} if steps else {})}
    head = {"id": name, "name": name.replace("_", " "), "reader": card.reader, "layout": list(card.layout)}
    tables = {**head, "options": card.options, "access": access}
    return toml_text({k: v for k, v in tables.items() if v})


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(k))} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"TOML has no form for {type(value).__name__}")

"""How models of one table or figure were run, where that is not the same for all of its rows: options, weights, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sambench import cards

_MISSING = object()


def run_texts(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must stand beside each model: `squash = true; bf16 on cuda`; empty where nothing sets it apart.

    models: of every row the record's `model`. An option is named where it is not the card's, or where another row's value of it is
    another; weights where rows of one model have others; precision and device where they are not the same for all rows.
    """
    places = {precision_text(m) for m in models}
    weights = {m["id"]: {other.get("weights_sha256") for other in models if other["id"] == m["id"]} for m in models}
    out = []
    for model in models:
        parts = [f"{k} = {value_text(v)}" for k, v in options_of(model).items() if _is_named(k, v, model, models)]
        if len(weights[model["id"]]) > 1:
            parts.append(f"weights {str(model.get('weights_sha256'))[:8]}")
        parts += [precision_text(model)] if len(places) > 1 else []
        out.append("; ".join(parts))
    return out


def options_text(model: Mapping[str, Any]) -> str:
    """All options of a recorded model, its card's among them."""
    return "; ".join(f"{k} = {value_text(v)}" for k, v in options_of(model).items())


def options_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded model's options, its card's among them, sorted."""
    return dict(sorted((model.get("options") or {}).items()))


def value_text(value: Any) -> str:
    """An option as it is given; a file is named by the beginning of its digest."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(value_text, value))
    if isinstance(value, Mapping):
        return ",".join(f"{k} {value_text(v)[:8]}" for k, v in value.items())
    return str(value)


def _is_named(key: str, value: Any, model: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> bool:
    card = cards.model_cards().get(model["id"])
    if card is None or card.options.get(key, _MISSING) != value:
        return True
    for other in models:
        theirs = options_of(other).get(key, _MISSING)
        if theirs != value and (theirs is not _MISSING or other["id"] == model["id"]):
            return True
    return False


def precision_text(model: Mapping[str, Any]) -> str:
    """A recorded model's precision, the kind of device it ran on, and where its answers were scored if that was asked for."""
    scored = f", scored on the {model['scoring']}" if "scoring" in model else ""
    return f"{model.get('precision', 'fp32')} on {model.get('device_kind', 'cpu')}{scored}"

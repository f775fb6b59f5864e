"""Where cards are: by id in folders, which are read once a process, or by the path of a file."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from sambench import paths
from sambench.cards.entries import anchored
from sambench.cards.schema import KINDS, BoxesCard, Card, DatasetCard, ModelCard, Named, SuiteCard
from sambench.errors import CardError, message_of, near_names, shown, unknown_name
from sambench.values import toml_file

_FOLDERS: dict[Literal["dataset", "model"], paths.CardKind] = {"dataset": "datasets", "model": "baselines"}


def read_card(path: Path, default_kind: Literal["dataset", "model"]) -> Card:
    """One card file. Raises CardError that names the file, the key and near names of unknown keys."""
    raw = toml_file(path, "a card", CardError)
    kind = raw.get("kind", default_kind)
    if not isinstance(kind, str) or kind not in KINDS:
        raise CardError("a card has an unknown kind", where=path, expected=" or ".join(KINDS), found=shown(repr(kind)))
    model = KINDS[kind]
    try:
        # Strict, so that true is no number and "1" none; of JSON, since strict Python would want tuples.
        card = model.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as e:
        raise _explain(e, model, path) from e
    if isinstance(card, DatasetCard):
        return card.model_copy(update={"reader": anchored(card.reader, path.absolute().parent)})
    if isinstance(card, ModelCard):
        return card.model_copy(update={"factory": anchored(card.factory, path.absolute().parent)})
    return card


def _explain(e: ValidationError, model: type[BaseModel], path: Path) -> CardError:
    # An unknown key first: a misspelt one also makes the right one missing.
    flaws = e.errors(include_url=False)
    first = next((d for d in flaws if d["type"] == "extra_forbidden"), flaws[0])
    key, found = shown(".".join(str(p) for p in first["loc"])), shown(repr(first["input"]))
    if first["type"] == "extra_forbidden":
        holder: Any = model
        for part in first["loc"][:-1]:  # the table that holds the unknown key decides which names are near
            field = getattr(holder, "model_fields", {}).get(part)
            if field is not None:  # else an index or a name inside a tuple or dict of tables
                inner = getattr(field.annotation, "__args__", ())
                holder = next((a for a in inner if hasattr(a, "model_fields")), field.annotation)
        near = near_names(str(first["loc"][-1]), getattr(holder, "model_fields", {}))
        return CardError(
            f"a card has an unknown key {key!r}",
            where=path,
            expected="only keys that the schema knows",
            found=found,
            remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else "remove it",
        )
    if first["type"] == "missing":
        return CardError(f"a card lacks the key {key!r}", where=path, remedy=f"add {key} = ... (see CONTRIBUTING.md)")
    return CardError(f"a card's {key!r} does not fit", where=path, expected=first["msg"], found=found)


def _folders(kind: Literal["datasets", "baselines"]) -> list[Path]:
    from importlib import metadata

    group = {"datasets": "sambench.datasets", "baselines": "sambench.models"}[kind]
    folders = [paths.packaged(kind), paths.home() / "cards" / kind]
    for entry in metadata.entry_points(group=group):
        try:
            folders.append(Path(entry.load()()))
        except (Exception, SystemExit) as e:
            raise CardError(
                f"the plug-in {entry.name!r} does not give a folder of cards", where=entry.value, found=message_of(e)
            ) from e
    return folders


def files_in(folder: Path) -> list[Path]:
    """The `.toml` files of a folder of cards, sorted; none where there is no such folder. Raises CardError if it cannot be read."""
    try:
        return paths.listed(folder, ".toml")
    except (OSError, ValueError) as e:  # ValueError: a path that holds a NUL
        found = (e.strerror if isinstance(e, OSError) else None) or message_of(e)
        remedy = "mend its permissions, or set SAMBENCH_HOME to another folder"
        raise CardError("a folder of cards cannot be read", where=shown(folder), found=found, remedy=remedy) from e


def _discover(kind: Literal["datasets", "baselines"]) -> dict[str, tuple[Card, Path]]:
    return _discover_in(kind, tuple(_folders(kind)))


@lru_cache(maxsize=8)
def _discover_in(kind: Literal["datasets", "baselines"], folders: tuple[Path, ...]) -> dict[str, tuple[Card, Path]]:
    found: dict[str, tuple[Card, Path]] = {}
    named: dict[str, Path] = {}  # ids and aliases, which share one space of names
    for folder in folders:
        for path in files_in(folder):
            card = read_card(path, "dataset" if kind == "datasets" else "model")
            _check_kind(card, ("dataset", "suite", "boxes") if kind == "datasets" else ("model",), path)
            if isinstance(card, Named):
                card.give_name(released=folder != paths.home() / "cards" / kind)
            for name in (card.id, *(card.aliases if isinstance(card, SuiteCard) else ())):
                if name in named:
                    where = f"{named[name]} and {path}"
                    raise CardError(f"two cards have the id {name!r}", where=where, remedy="rename or remove one")
                named[name] = path
            found[card.id] = (card, path)
    return found


def _check_kind(card: Card, kinds: tuple[str, ...], path: Path) -> None:
    if card.kind not in kinds:
        raise CardError(f"a card of another kind than {' or '.join(kinds)}", where=path, found=f"kind = {card.kind!r}")


def forget() -> None:
    """Read the card folders anew at the next question (they are read once a process)."""
    _discover_in.cache_clear()


def dataset_cards() -> dict[str, DatasetCard]:
    """All dataset cards by id, sorted."""
    return {k: c for k, (c, _) in sorted(_discover("datasets").items()) if isinstance(c, DatasetCard)}


def suite_cards() -> dict[str, SuiteCard]:
    """All suite cards by id, sorted."""
    return {k: c for k, (c, _) in sorted(_discover("datasets").items()) if isinstance(c, SuiteCard)}


def boxes_cards() -> dict[str, BoxesCard]:
    """All cards of detectors' boxes by id, sorted."""
    return {k: c for k, (c, _) in sorted(_discover("datasets").items()) if isinstance(c, BoxesCard)}


def model_cards() -> dict[str, ModelCard]:
    """All model cards by id, sorted."""
    return {k: c for k, (c, _) in sorted(_discover("baselines").items()) if isinstance(c, ModelCard)}


def dataset_card(name: str) -> DatasetCard:
    """By id, or by the path of a card file. Raises UsageError with near names."""
    card = _by_path(name, "dataset") if is_path(name) else dataset_cards().get(name)
    if isinstance(card, DatasetCard):
        return card
    raise unknown_name("dataset", name, [*dataset_cards(), *_suite_names()])


def model_card(name: str) -> ModelCard:
    """By id, or by the path of a card file. Raises UsageError with near names."""
    card = _by_path(name, "model") if is_path(name) else model_cards().get(name)
    if isinstance(card, ModelCard):
        return card
    raise unknown_name("model", name, model_cards())


def is_path(name: str) -> bool:
    """Whether a card is named by its file, not by its id."""
    return name.endswith(".toml")


def absolute(name: str) -> str:
    """The name of a card that means the same in every folder: an id as it is, a path absolute."""
    return str(Path(name).expanduser().absolute()) if is_path(name) else name


def split_variant(name: str) -> tuple[str, str | None]:
    """A card's name and the variant: of `id`, `id:variant`, `PATH.toml` or `PATH.toml:variant`."""
    source, colon, variant = (name, "", "") if is_path(name) else name.rpartition(":")
    return (source, variant or None) if colon else (name, None)


def suite_card(name: str) -> SuiteCard | None:
    """The suite of that id or alias, or None."""
    return next((s for s in suite_cards().values() if name == s.id or name in s.aliases), None)


def _suite_names() -> list[str]:
    return [n for s in suite_cards().values() for n in (s.id, *s.aliases)]


def _by_path(name: str, kind: Literal["dataset", "model"]) -> Card:
    path = Path(name).expanduser()
    card = read_card(path, kind)
    _check_kind(card, (kind,), path)
    if isinstance(card, Named):
        card.give_name(name, released=path.resolve().parent == paths.packaged(_FOLDERS[kind]).resolve())
    return card

"""What a dataset's name means: of `prefix:...` the source of that prefix, of any other the source of suites or that of cards.

A source is found by its place: `sambench/sources/data/<prefix>.py`, or the module that an installed package names under the
entry-point group `sambench.dataset_sources`, as `prefix = package.module`. Either has a `SOURCE`, a `DatasetSource`. Only here is a
source chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sambench import cards
from sambench.errors import DataError, DataMissingError, UsageError, near_names, unknown_name
from sambench.files import mirror
from sambench.files.places import brought_name
from sambench.loaders.subsets import Subset, choose_subset
from sambench.sources import here
from sambench.sources.data import card as card_source
from sambench.sources.data import path as path_source
from sambench.sources.data import suite as suite_source
from sambench.sources.data import words
from sambench.sources.data.base import DatasetSource, DatasetSpec, Recogniser, ResolvedDataset, SuiteSource
from sambench.sources.found import Sources, is_own
from sambench.types import Dataset, Holds

GROUP = "sambench.dataset_sources"
_SOURCES = Sources[DatasetSource](
    package="sambench.sources.data",
    group=GROUP,
    follows=lambda source: isinstance(source, DatasetSource),
    see="sambench.sources.data.base.DatasetSource",
    members="form, needs, gives, resolve, build and check",
    plain=frozenset({"card", "suite", "path"}),
    kind="datasets",
    error=DataError,
)
_GENERATED = "a tiny generated copy, not the dataset: numbers say nothing of the model"


@dataclass(frozen=True)
class Target:
    """A dataset that is here: what its name means, its reader and the chosen images."""

    resolved: ResolvedDataset
    dataset: Dataset
    subset: Subset

    @property
    def card(self) -> cards.DatasetCard:
        """Its card."""
        return self.resolved.card

    @property
    def spec(self) -> DatasetSpec:
        """How any process opens it."""
        return self.resolved.spec

    @property
    def variant(self) -> str:
        """The variant's name, '' for the card's own options."""
        return "" if self.spec.variant == "default" else self.spec.variant

    def identity(self) -> dict[str, Any]:
        """All of the dataset that can change a number."""
        digests = {"annotation_digest": self.dataset.annotation_digest(), "subset_digest": self.subset.digest}
        return {**self.resolved.identity(), **digests}


@dataclass(frozen=True)
class Missing:
    """A member of a suite that cannot run here, and why."""

    name: str
    why: str


def split_names(values: Sequence[str]) -> list[str]:
    """Comma-separated and repeated options as one list, without repeats, in order."""
    names = [n.strip() for v in values for n in v.split(",")]
    return list(dict.fromkeys(n for n in names if n))


def names_in(values: Sequence[str | Path]) -> list[str]:
    """The names of datasets in comma-separated and repeated options, as one list, without repeats, in order.

    What follows `prefix:...` and its commas is a part of that name, as far as it takes paths; an option `key=value` is one of the
    name before it. A value that is the path of a file or folder is one name, also with commas. Raises UsageError.
    """
    found: dict[str, None] = {}
    for value in map(str, values):
        if "," in value and here.exists(value):
            found[words.quoted(value)] = None
            continue
        parts: list[str] = []
        for piece in words.split(value):
            if parts and _belongs(piece, parts):
                parts.append(piece)
                continue
            found |= {",".join(parts): None} if parts else {}
            parts = [piece]
        found |= {",".join(parts): None} if parts else {}
    return list(found)


def _belongs(piece: str, parts: Sequence[str]) -> bool:
    """Whether a piece is a part of the name that is begun, not a name of its own. Raises UsageError where it may be both."""
    if words.is_option(piece):
        return True
    source = _prefixed(parts[0])
    if source is None:
        return False
    if sum(not words.is_option(p) for p in parts) < source.needs:
        return True
    if not _is_name(piece):
        return True
    if ":" not in piece and not cards.is_path(piece) and here.exists(piece):
        raise UsageError(
            f"{piece!r} is the name of a dataset and of a file or folder here",
            where="--datasets",
            expected=source.form,
            found=",".join([*parts, piece]),
            remedy=f"write ./{piece} for the path; for the dataset, name it in a --datasets of its own",
        )
    return False


def _is_name(text: str) -> bool:
    source, _ = cards.split_variant(text)
    known = cards.is_path(source) or source in cards.dataset_cards() or cards.suite_card(text) is not None
    return known or _prefixed(text) is not None


def _prefixed(name: str) -> DatasetSource | None:
    """The source of a name's prefix, or None; a card's variant is no such name."""
    prefix, colon, rest = name.partition(":")
    card = cards.dataset_cards().get(prefix) if colon else None
    if not colon or (card is not None and rest in ("default", *card.variants)):
        return None
    return _SOURCES.by_prefix(prefix)


def source_of(name: str) -> DatasetSource:
    """The source that a dataset's whole name leads to. Raises UsageError: none does; DataError: a plug-in that gives no source."""
    name = mirror.with_copies(name)
    if cards.suite_card(name) is not None:
        return suite_source.SOURCE
    found = _prefixed(name)
    if found is not None:
        return found
    source, _ = cards.split_variant(name)
    if cards.is_path(source) or source in cards.dataset_cards():
        return card_source.SOURCE
    if path_source.is_path(name):
        return path_source.SOURCE
    raise _unknown(name)


def sources() -> dict[str, DatasetSource]:
    """The sources whose names have a prefix, by it, sorted; sambench's own and those of plug-ins."""
    return {name: source for name, source in _SOURCES.every().items() if source.form}


def recognised_by(path: Path, *, but: str = "") -> list[str]:
    """Names with a prefix for what lies at an absolute path, by the sources that know their format when they see it, but one."""
    known = [source for name, source in sources().items() if isinstance(source, Recogniser) and name != but]
    return list(dict.fromkeys(word for source in known for word in source.recognise(path)))


def _unknown(name: str) -> UsageError:
    known, (source, _) = sources(), cards.split_variant(name)
    suites = [n for s in cards.suite_cards().values() for n in (s.id, *s.aliases)]
    names = [*cards.dataset_cards(), *suites]
    error = unknown_name("dataset", source if near_names(source, names, 1) else name, names)
    error.expected = ", ".join([str(error.expected), "a path", *(s.form for s in known.values())])
    prefix, colon, rest = name.partition(":")
    near = [f"{n}:{rest}" for n in near_names(prefix, known, 1)] if prefix and colon else []
    if not colon:  # of a folder, only what is much like it: there may be anything
        beside = [f"./{n}" for n in here.alike(name)]
        near = [*near_names(name, names, 2), *beside[:2]] if beside else []
    if near:
        error.remedy = f"did you mean {' or '.join(map(repr, near))}?"
    return error


def resolve(name: str, *, root: str | None = None) -> ResolvedDataset:
    """What a name means, without opening it. root: from `--root`. What lies in an object store is brought onto this machine.

    Raises UsageError, CardError, DataError, RunError.
    """
    name, root = brought_name(name), brought_name(str(root)) if root else root
    source = source_of(name)
    with _SOURCES.at_work(source, name, "find"):
        found = source.resolve(name, root=root)
    if not is_own(source) and not isinstance(found, ResolvedDataset):
        raise DataError(
            "a source of datasets: what it makes of a name does not fit",
            where=name,
            expected="a sambench.sources.data.base.ResolvedDataset",
            found=f"a {type(found).__name__}",
            remedy="mend the source: see sambench.sources.data.base.DatasetSource",
        )
    return found


def build(resolved: ResolvedDataset) -> Dataset:
    """The dataset itself. Raises DataMissingError, DataError, CardError."""
    source = source_of(resolved.spec.name)
    with _SOURCES.at_work(source, resolved.spec.name, "open"):
        return source.build(resolved)


def gives_of(name: str) -> Holds | None:
    """What the dataset of that name holds, as far as is known before it is opened."""
    source = source_of(name)
    with _SOURCES.at_work(source, name, "describe"):
        return source.gives(name)


def notes_on(resolved: ResolvedDataset, dataset: Dataset) -> list[str]:
    """What must be said of an opened dataset before it is evaluated. Raises DataError where it cannot be."""
    source = source_of(resolved.spec.name)
    with _SOURCES.at_work(source, resolved.spec.name, "check"):
        return source.check(resolved, dataset)


def open_spec(spec: DatasetSpec) -> Dataset:
    """The dataset of a name, variant and folder, as they were resolved before, maybe by another process."""
    variant = "" if spec.variant in ("", "default") else f":{spec.variant}"
    return build(resolve(f"{spec.name}{variant}", root=spec.root))


def open_recorded(recorded: Mapping[str, Any], root: Path | None = None) -> Dataset:
    """The dataset that a result was made on. recorded: `dataset` of its record. root: look there, else where the run looked, else
    where it is now. Raises DataMissingError, DataError, UsageError (what it was named by is here no more)."""
    name, folder = str(recorded.get("source") or recorded["id"]), root or recorded.get("root")
    return open_spec(DatasetSpec(name, str(recorded["variant"]), str(folder) if folder else None))


def find_targets(
    names: Sequence[str], *, subset: str, root: str | None = None, every_image: bool = False, needs: Holds | None = None
) -> tuple[list[Target], list[Missing], list[cards.SuiteCard]]:
    """Open every dataset named. A suite's absent members are listed, not raised.

    Members of a generated suite are read from tiny synthetic copies, all of each; their cells can never be taken for the real ones.
    every_image: images without masks too, as far as the dataset's index has them. needs: what the task compares with; of a card
    that holds something else the variant with it is taken, where it has one.
    """
    targets: list[Target] = []
    missing: list[Missing] = []
    suites: list[cards.SuiteCard] = []
    for name in names:
        source = source_of(name)
        if not isinstance(source, SuiteSource):
            targets.append(open_target(_holding(needs, resolve(name, root=root)), subset, every_image=every_image))
            continue
        suite = source.suite(name)
        suites.append(suite.card)
        for member, word in zip(suite.card.members, suite.members, strict=True):
            try:
                targets.append(open_target(resolve(word), subset, every_image=every_image))
            except DataMissingError as e:
                missing.append(Missing(member, e.message))
            except UsageError as e:
                has_card = cards.split_variant(member)[0] in cards.dataset_cards()
                missing.append(Missing(member, e.message if has_card else "has no card in this version"))
    unique: dict[tuple[str, str], Target] = {}
    for target in targets:
        same = unique.setdefault((target.card.id, target.spec.variant), target)
        check_names(same, target)
    if root is not None and len(unique) > 1:
        raise UsageError(
            "one root for several datasets", where="--root", remedy="give --root with one dataset, or `sambench data adopt`"
        )
    return list(unique.values()), missing, suites


def _holding(needs: Holds | None, resolved: ResolvedDataset) -> ResolvedDataset:
    variant = resolved.card.variant_holding(needs) if needs and resolved.spec.variant == "default" else None
    return replace(resolved, spec=replace(resolved.spec, variant=variant)) if variant else resolved


def check_names(first: Target, second: Target) -> None:
    """Raise UsageError where two datasets of one name are not the same."""
    same = first.resolved.identity() == second.resolved.identity()
    if first is second or (same and first.dataset.annotation_digest() == second.dataset.annotation_digest()):
        return
    raise UsageError(
        f"two datasets have one name, {first.card.id!r}",
        where="--datasets",
        expected="names that tell them apart in tables",
        found=f"{first.card.named} and {second.card.named}",
        remedy="give one of them a name: add ,name=... to it",
    )


def open_target(resolved: ResolvedDataset, subset: str, *, every_image: bool = False) -> Target:
    """A dataset with the images of a subset; of a generated copy all images, whatever is asked for."""
    dataset = build(resolved)
    chosen = choose_subset(dataset, resolved.card, "full" if resolved.generated else subset, every_image=every_image)
    if resolved.generated:
        chosen = replace(chosen, name="generated", is_paper_size=False, note=_GENERATED)
    return Target(resolved, dataset, chosen)

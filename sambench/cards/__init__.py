"""Cards: one TOML file per dataset, suite and model. Facts as data, validated, and found without a central list.

Cards are looked for in the packaged folders, in `$SAMBENCH_HOME/cards/datasets` and `.../baselines`, in the folders that
installed packages name under the entry-point groups `sambench.datasets` and `sambench.models` (each entry point is a
function returning a folder), and at explicit paths ending in `.toml`. Two cards of one id are an error, never a shadow.
"""

from __future__ import annotations

import json
import shlex
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from sambench import paths
from sambench.cards.citations import Citation as Citation
from sambench.code_files import local_sources
from sambench.errors import CardError, near_names, said, shown, unknown_name
from sambench.files import content
from sambench.values import toml_file

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$", max_length=100)]  # part of folder names
EntryPoint = Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+$", max_length=500)]
# Names and relative paths of files, which never leave the folder that they are looked for in: no root, no `..`, nothing hidden.
FileName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$", max_length=200)]
FilePath = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*(/[^/\\.][^/\\]*)*$", max_length=1000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


def _not_default(name: str) -> str:
    if name == "default":
        raise ValueError("another name: `default` is the card's own options")
    return name


VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=100), AfterValidator(_not_default)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Frozen):
    """A card that commands name: by its id, or by the path of its file."""

    id: Id
    _given: str = PrivateAttr("")
    _released: bool = PrivateAttr(True)

    @property
    def named(self) -> str:
        """How a command names it, quoted for a shell: its id, or the path as it was given."""
        return shlex.quote(self._given or self.id)

    @property
    def released(self) -> bool:
        """Whether it comes with sambench or an installed package, and so speaks of a release that others have too; False for a card
        in `$SAMBENCH_HOME/cards` or given by its path."""
        return self._released


class RemoteFile(_Frozen):
    """One file of a dataset as it is distributed. Archives are unpacked into the folder `unpack_to` below the dataset's root
    ("." is the root itself), other files are put there as they are.

    url: where it can be downloaded without a person; empty where a person must bring it, after the card's steps.
    file: its name. sha256, bytes: None where the authors publish none and nobody has measured it.
    members: patterns; only the members of the zip that fit one are wanted, and are read out of it on its server.
    inner: an archive within the archive, which is unpacked where it lies and then removed.
    """

    url: str = ""
    file: FileName
    sha256: Sha256 | None = None
    bytes: int | None = Field(None, ge=1)
    unpack_to: Literal["."] | FilePath = "."
    members: tuple[str, ...] = ()
    inner: FilePath | None = None


class Access(_Frozen):
    """How one gets a dataset. `steps` are instructions for a person, in order, verbatim.

    files: all that it takes, in the order of unpacking, for `sambench data get`; empty: a person follows the steps.
    fetcher: a function (card, folder, progress(what, bytes done, bytes in all or None)) that brings the rest after the files, where
    a dataset is not taken in whole files. source: the address it reads from; brings: what, in words.
    """

    state: Literal["embedded", "auto", "form", "credentials", "manual", "dead"]
    steps: tuple[str, ...] = ()
    url: str = ""
    files: tuple[RemoteFile, ...] = ()
    fetcher: EntryPoint | None = None
    source: str = ""
    brings: str = ""
    commercial_use: bool | None = None
    redistribution: bool | None = None


class PaperFacts(_Frozen):
    """The row of the paper's table 7: split and counts. `subsampled`: images were drawn until about `masks` masks were reached.

    reproducible: whether the release, read by the card's rule, gives these counts exactly. `yes`: counted on the data, by us or
    others; `expected`: what is known of the release agrees; `uncertain`: the rule or the selection is an inference from the counts;
    `no`: the images were drawn at random, and which is unpublished.
    """

    name: str
    split: str
    images: Count
    masks: Count
    subsampled: bool
    reproducible: Literal["yes", "expected", "uncertain", "no"] = "no"
    source: str = "arXiv 2304.02643, table 7"


class Counts(_Frozen):
    """What the complete release holds, where it is known."""

    images: Count
    masks: Count


class Variant(_Frozen):
    """Another reading of what one mask is; its options go over the card's."""

    description: str
    source: str = ""
    options: dict[str, Any] = {}


class DatasetCard(_Named):
    """One dataset. Hashed into identities: id, reader, revision and the options in force; the rest is prose."""

    kind: Literal["dataset"] = "dataset"
    name: str
    reader: EntryPoint
    revision: int = 1
    options: dict[str, Any] = {}
    variants: dict[VariantName, Variant] = {}
    access: Access
    image_type: str = ""
    mask_kind: Literal["instance", "panoptic", "semantic", "region", "boundary"] = "instance"
    one_mask: str = ""  # what is counted as one, in a few words
    layout: tuple[str, ...] = ()
    homepage: str = ""
    licence: str = ""
    citation: Citation = Citation()
    paper: PaperFacts | None = None
    full: Counts | None = None
    notes: str = ""

    def options_of(self, variant: str | None) -> dict[str, Any]:
        """Reader options of a named variant (None: the default). Raises UsageError on an unknown name."""
        if variant is None or variant == "default":
            return dict(self.options)
        if variant not in self.variants:
            raise unknown_name(f"variant of dataset {self.id}", variant, ["default", *self.variants])
        return {**self.options, **self.variants[variant].options}


class SuiteCard(_Frozen):
    """A frozen list of datasets with a mean of its own. generated: of tiny synthetic copies (`sambench.fixtures`), not of data."""

    kind: Literal["suite"]
    id: Id
    name: str
    members: tuple[Id, ...]
    generated: bool = False
    aliases: tuple[Id, ...] = ()
    notes: str = ""


class BoxesCard(_Frozen):
    """A detector's results file that others distribute, for the instance task. size: in words, where bytes are unknown."""

    kind: Literal["boxes"]
    id: Id
    name: str
    dataset: Id
    file: RemoteFile
    size: str
    steps: tuple[str, ...] = ()
    licence: str = ""
    citation: Citation = Citation()
    homepage: str = ""
    notes: str = ""


class Weights(_Frozen):
    """A checkpoint file: where it is, and exactly which bytes it has. packaged: its path in the package, if it comes with it."""

    url: str = ""
    file: FileName
    packaged: Literal[""] | FilePath = ""
    sha256: Sha256 | None = None
    bytes: int | None = Field(None, ge=1)
    source: str = ""


class Published(_Frozen):
    """One published number of this model, with its source.

    task .. group: the metric row (`schema.METRIC_COLUMNS`) that would hold a measurement of it; None where that column does
    not matter. dataset: a dataset or suite, with its variant (`id:variant`) where that is not the default. value: as metric rows
    have it, a fraction or a number of clicks. remark: what of its setting differs from the task's.
    """

    task: str
    dataset: str
    metric: str
    value: float
    source: str
    kind: Literal["published", "digitised", "reproduced"] = "published"
    variant: str | None = None
    prompt: str | None = None
    k: int | None = None
    max_dets: int | None = None
    threshold: float | None = None
    group_by: str | None = None
    group: str | None = None
    remark: str = ""


class ModelCard(_Named):
    """One model. Hashed into identities: id, revision, the factory (`entry_identity`), max_batch, the options, the weights' sha256.

    factory is `module:function`, called as `factory(weights=Path | None, device=str, precision=str, **options)`.
    gives: what the model answers with, which decides the tasks that take it: `masks` (a Segmenter with several scored candidates),
    `single_mask` (a Segmenter with one), `edges` (an EdgeDetector), or `detections` (nothing: a results file has them).
    """

    kind: Literal["model"] = "model"
    name: str
    factory: EntryPoint
    revision: int = 1
    gives: Literal["masks", "single_mask", "edges", "detections"] = "masks"
    max_batch: int = Field(64, ge=1)
    options: dict[str, Any] = {}
    weights: Weights | None = None
    state: Literal["available", "unavailable"] = "available"
    uses_torch: bool = True
    description: str = ""
    licence: str = ""
    citation: Citation = Citation()
    homepage: str = ""
    training_data: str = ""
    overlaps: tuple[Id, ...] = ()
    published: tuple[Published, ...] = ()
    notes: str = ""


_FOLDERS: dict[Literal["dataset", "model"], paths.CardKind] = {"dataset": "datasets", "model": "baselines"}
Card = DatasetCard | SuiteCard | BoxesCard | ModelCard
C = TypeVar("C", DatasetCard, SuiteCard, BoxesCard, ModelCard)
_KINDS: dict[str, type[DatasetCard] | type[SuiteCard] | type[BoxesCard] | type[ModelCard]] = {
    "dataset": DatasetCard,
    "suite": SuiteCard,
    "boxes": BoxesCard,
    "model": ModelCard,
}


def read_card(path: Path, default_kind: Literal["dataset", "model"]) -> Card:
    """One card file. Raises CardError that names the file, the key and near names of unknown keys."""
    raw = toml_file(path, "a card", CardError)
    kind = raw.get("kind", default_kind)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise CardError("a card has an unknown kind", where=path, expected=" or ".join(_KINDS), found=shown(repr(kind)))
    model = _KINDS[kind]
    try:
        # Strict, so that true is no number and "1" none; of JSON, since strict Python would want tuples.
        return model.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as e:
        raise _explain(e, model, path) from e


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
            raise CardError(f"the plug-in {entry.name!r} does not give a folder of cards", where=entry.value, found=said(e)) from e
    return folders


def files_in(folder: Path) -> list[Path]:
    """The `.toml` files of a folder of cards, sorted; none where there is no such folder. Raises CardError if it cannot be read."""
    try:
        return paths.listed(folder, ".toml")
    except (OSError, ValueError) as e:  # ValueError: a path that holds a NUL
        found = (e.strerror if isinstance(e, OSError) else None) or said(e)
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
            if isinstance(card, _Named):
                card._released = folder != paths.home() / "cards" / kind
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
    if isinstance(card, _Named):
        card._given, card._released = name, path.resolve().parent == paths.packaged(_FOLDERS[kind]).resolve()
    return card


def load_entry(entry: str, *, where: object) -> Any:
    """The object that `module:name` stands for. Raises CardError naming the card if there is none, or it cannot be called."""
    import importlib

    module, _, name = entry.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as e:  # the module is anyone's, and may do anything while it is imported
        raise CardError(f"a card names {entry!r}, which cannot be imported", where=where, found=said(e)) from e
    if not callable(found):
        message = f"a card names {entry!r}, which cannot be called"
        raise CardError(message, where=where, expected="a function or a class", found=type(found).__name__)
    return found


def entry_identity(entry: str, *, where: object) -> dict[str, str]:
    """What of `module:name` can change a number: the bare name, and where it is not sambench's own the bytes of its source.

    That is its file, and what this imports from its own folder or package. The module's path is not in it, so that code can move; a
    change of sambench's own code is told by the card's `revision`.
    """
    module, _, name = entry.partition(":")
    if module.partition(".")[0] == "sambench":
        return {"name": name}
    load_entry(entry, where=where)
    source = getattr(sys.modules[module], "__file__", None)
    if not source:
        return {"name": name, "source_sha256": ""}
    out = {"name": name, "source_sha256": content.file_sha256(Path(source))}
    imported = local_sources(Path(source), module, loaded=False)
    return {**out, "imports_sha256": content.files_digest(imported)} if imported else out

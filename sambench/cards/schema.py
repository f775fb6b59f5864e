"""What a card holds: one class for each kind of card, with the form of every value in it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from sambench.cards.citations import Citation
from sambench.errors import UsageError, shown, unknown_name

if TYPE_CHECKING:
    from sambench.types import Holds

_ID, _LONGEST_ID = r"[a-z0-9][a-z0-9_\-]*", 100  # part of folder names
Id = Annotated[str, Field(pattern=f"^{_ID}$", max_length=_LONGEST_ID)]
EntryPoint = Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+$", max_length=500)]
# As EntryPoint, or `python:FILE.py:name` with a path relative to the card's folder, or `python:package.module:name`.
Code = Annotated[str, Field(pattern=r"^(\w+(\.\w+)*|python:.+):\w+$", max_length=2000)]
# Names and relative paths of files, which never leave the folder that they are looked for in: no root, no `..`, nothing hidden.
FileName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$", max_length=200)]
FilePath = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*(/[^/\\.][^/\\]*)*$", max_length=1000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


def check_id(name: object, where: object = None) -> str:
    """A dataset's id that a user chose. Raises UsageError, of `where`, for one that no card could have."""
    if not isinstance(name, str) or len(name) > _LONGEST_ID or not re.fullmatch(_ID, name):
        expected = "lower-case letters, digits, _ and -, as leaves_2024"
        raise UsageError("a dataset's name does not fit", where=where, expected=expected, found=shown(repr(name)))
    return name


def _not_default(name: str) -> str:
    if name == "default":
        raise ValueError("another name: `default` is the card's own options")
    return name


_VARIANT = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
VariantName = Annotated[str, Field(pattern=f"^{_VARIANT}$", max_length=100), AfterValidator(_not_default)]
Member = Annotated[str, Field(pattern=f"^{_ID}(:{_VARIANT})?$", max_length=2 * _LONGEST_ID)]  # id or id:variant


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Frozen):
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

    @property
    def given(self) -> str:
        """As `named`, not quoted; '' where it is named by its id."""
        return self._given

    def give_name(self, given: str = "", *, released: bool = False) -> None:
        """Say how commands name it ("": by its id), and whether it is `released`."""
        self._given, self._released = given, released


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


MaskKind = Literal["instance", "panoptic", "semantic", "region", "boundary", "concept"]


class Variant(_Frozen):
    """Another reading of what one mask is; its options go over the card's."""

    description: str
    source: str = ""
    options: dict[str, Any] = {}
    mask_kind: MaskKind | None = None  # where it is another than the card's


class DatasetCard(Named):
    """One dataset. Hashed into identities: id, reader, revision and the options in force; the rest is prose."""

    kind: Literal["dataset"] = "dataset"
    name: str
    reader: Code
    revision: int = 1
    options: dict[str, Any] = {}
    variants: dict[VariantName, Variant] = {}
    access: Access
    image_type: str = ""
    mask_kind: MaskKind = "instance"
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


    def variant_holding(self, needs: Holds) -> str | None:
        """The one variant that holds what a task needs, where the card's own options do not."""
        fits = [v for v, variant in self.variants.items() if holding(variant.mask_kind or self.mask_kind) == needs]
        return fits[0] if holding(self.mask_kind) != needs and len(fits) == 1 else None


def holding(kind: MaskKind) -> Holds:
    """The ground truth that masks of a kind are."""
    return "boundaries" if kind == "boundary" else "concepts" if kind == "concept" else "masks"


class SuiteCard(_Frozen):
    """A frozen list of datasets with a mean of its own. members: `id` or `id:variant`. generated: of tiny synthetic copies
    (`sambench.fixtures`), not of data; those have no variants."""

    kind: Literal["suite"]
    id: Id
    name: str
    members: tuple[Member, ...]
    generated: bool = False
    aliases: tuple[Id, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _plain_names(self) -> SuiteCard:
        wrong = [m for m in self.members if m.endswith(":default") or (self.generated and ":" in m)]
        if wrong:
            raise ValueError(f"{wrong[0].partition(':')[0]!r}, without a variant, in place of {wrong[0]!r}")
        return self

    @property
    def datasets(self) -> tuple[str, ...]:
        """The ids of the members' cards, one for each member."""
        return tuple(m.partition(":")[0] for m in self.members)


class BoxesCard(_Frozen):
    """A detector's results file, for the instance task. file: as others distribute it; maker: a function without arguments that
    returns its path, for one that is made on the machine. size: in words, where bytes are unknown.
    """

    kind: Literal["boxes"]
    id: Id
    name: str
    dataset: Id
    file: RemoteFile | None = None
    maker: EntryPoint | None = None
    size: str
    steps: tuple[str, ...] = ()
    licence: str = ""
    citation: Citation = Citation()
    homepage: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _from_somewhere(self) -> BoxesCard:
        if (self.file is None) == (self.maker is None):
            raise ValueError("give `file`, where the boxes are distributed, or `maker`, a function that makes them")
        return self


class Weights(_Frozen):
    """A checkpoint file: where it is, and exactly which bytes it has. packaged: its path in the package, if it comes with it."""

    url: str = ""
    file: FileName
    packaged: Literal[""] | FilePath = ""
    sha256: Sha256 | None = None
    bytes: int | None = Field(None, ge=1)
    source: str = ""


class Quantity(_Frozen):
    """What a published number is of.

    task .. group: the metric row (`schema.METRIC_COLUMNS`) that would hold a measurement of it; None where that column does
    not matter. dataset: a dataset or suite, with its variant (`id:variant`) where that is not the default. source: where the number
    stands. remark: what of its setting differs from the task's.
    """

    task: str
    dataset: str
    metric: str
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


class Published(Quantity):
    """One published number of a model. value: as metric rows have it, a fraction or a number of clicks."""

    value: float


ON_HUB = "sambench.models.hf.card:on_hub"


class ModelCard(Named):
    """One model. Hashed into identities: id, revision, the factory (`entry_identity`), max_batch, the options, the weights' sha256.

    factory is `module:function`, called as `factory(weights=Path | None, device=str, precision=str, **options)`.
    gives: what the model answers with, which decides the tasks that take it: `masks` (a Segmenter with several scored candidates),
    `single_mask` (a Segmenter with one), `edges` (an EdgeDetector), `concepts` (a ConceptSegmenter), `boxes` (a
    PhraseDetector, which is one part of a composition), or `detections` (nothing: a results file has them).
    needs: packages that it imports beyond those that sambench itself does, by the names by which they are imported.
    """

    kind: Literal["model"] = "model"
    name: str
    factory: Code
    revision: int = 1
    gives: Literal["masks", "single_mask", "edges", "concepts", "boxes", "detections"] = "masks"
    max_batch: int = Field(64, ge=1)
    options: dict[str, Any] = {}
    weights: Weights | None = None
    state: Literal["available", "unavailable"] = "available"
    uses_torch: bool = True
    needs: tuple[str, ...] = ()
    description: str = ""
    licence: str = ""
    citation: Citation = Citation()
    homepage: str = ""
    training_data: str = ""
    overlaps: tuple[Id, ...] = ()
    published: tuple[Published, ...] = ()
    notes: str = ""

    @property
    def hub(self) -> str:
        """The repository of the Hugging Face hub that it stands for, or ''."""
        return str(self.options.get("repo", "")) if self.factory == ON_HUB else ""


Card = DatasetCard | SuiteCard | BoxesCard | ModelCard
KINDS: dict[str, type[DatasetCard] | type[SuiteCard] | type[BoxesCard] | type[ModelCard]] = {
    "dataset": DatasetCard,
    "suite": SuiteCard,
    "boxes": BoxesCard,
    "model": ModelCard,
}

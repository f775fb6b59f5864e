"""The vocabulary: what loaders give, what models take and return, and what the tasks measure.

Conventions everywhere: pixels, `x` to the right and `y` down, the centre of the top-left pixel at (0, 0). A box is
`(x_min, y_min, x_max, y_max)` with *inclusive* pixel indices, as torchvision's `masks_to_boxes` gives it; an empty mask's
box is all zeros. Arrays are `[H, W]`, rows first; names say the order (`points_xy`, `box_xyxy`, `index_yx`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sambench.concepts import ConceptTruth
    from sambench.pixels.region import Region

BoolArray: TypeAlias = npt.NDArray[np.bool_]
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
FloatArray: TypeAlias = npt.NDArray[np.float32]
# Strength [H, W], float32 or float64 in [0, 1]; or bool [T, H, W], the boundaries of T segmentations from fine to coarse.
EdgeOutput: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64] | npt.NDArray[np.bool_]
BoxXYXY: TypeAlias = tuple[float, float, float, float]

# What a model answers with, which decides the tasks that take it: a Segmenter with several scored candidates, or with one; an
# EdgeDetector or EdgeMapSource; a ConceptSegmenter or ConceptSource; a ProposalSource; a PhraseDetector, one part of a composition;
# nothing, for the instance task's results file has the masks.
Gives: TypeAlias = Literal["masks", "single_mask", "edges", "concepts", "proposals", "boxes", "detections"]
# The ground truth of a dataset, which decides the tasks that it is one for.
Holds: TypeAlias = Literal["masks", "boundaries", "concepts"]

# Why an annotation is no instance: the kinds of `Sample.left_out`.
EMPTY = "empty mask"
NO_MASK = "annotation without a mask"
CROWD = "crowd, an ignore region"
GROUP = "mask of a group, no instance"
IGNORED = "inside an ignore region"
NO_AREA = "shape without area"
TOO_SHORT = "outline of fewer than three points"
BELOW_THRESHOLD = "mask below its threshold"
NEVER_OBJECTS = frozenset({CROWD, GROUP})  # by the annotators' own word; the others were meant as objects


class Window(NamedTuple):
    """A half-open rectangle of pixels: rows y0..y1-1, columns x0..x1-1."""

    y0: int
    x0: int
    y1: int
    x1: int


@dataclass(frozen=True)
class Instance:
    """One annotated object of an image.

    object_id is unique within its image and stable over releases of the dataset; `region` is never empty.
    attributes are strings (group attributes, difficulty, ...).
    """

    object_id: str
    region: Region
    category: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def area_px(self) -> int:
        return self.region.area

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        return self.region.box_xyxy


@dataclass(frozen=True)
class Annotation:
    """One annotation as a detection benchmark counts it; all of an image's stand in `Annotated`, also crowds and empty ones.

    category_id and category: the dataset's id and name. frequency: LVIS's "r", "c" or "f", else "". area: the file's own number, in
    pixels, by which benchmarks tell small from large (COCO's is that of the polygons, not of their pixels). box_xywh: the file's.
    """

    object_id: str
    category_id: int
    category: str
    frequency: str
    region: Region
    is_crowd: bool
    area: float
    box_xywh: tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotated:
    """An image's ground truth for detection, in the file's order. categories: name by id, of all that the dataset has.

    Federated datasets (LVIS) are not annotated for every category: negative_ids are categories of which the image has no object,
    not_exhaustive_ids those of which more objects may be there than are annotated. Both None: every object of every category is.
    """

    objects: tuple[Annotation, ...]
    categories: Mapping[int, str]
    negative_ids: tuple[int, ...] | None = None
    not_exhaustive_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Sample:
    """One image with its objects. The pixels are read when `image` is first asked for.

    cluster_id: images that are not independent share it (frames of a video); elsewhere it is the image_id.
    instances: in dataset order. Those that cannot be evaluated, for they have no pixel or none that counts, are left out here,
    whatever the reader gives. left_out: how many annotations of the image are no instance, by kind (`EMPTY`, `CROWD`, ...).
    ignore: pixels that count nowhere and are never clicked (crowds, "ignore" labels), or None.
    boundaries: one bool [H, W] map an annotator, for the edge task; empty elsewhere. boundary_max_dist: how far an edge may lie
    from an annotated one, as a share of the image's diagonal; the dataset's own convention.
    annotated: gives the ground truth for detection, of datasets in COCO's form; raises DataError.
    concepts: phrases with their instances, for the concept task; empty elsewhere. Samples that have them have no `instances`.
    """

    dataset: str
    image_id: str
    height: int
    width: int
    instances: tuple[Instance, ...]
    read: Callable[[], UInt8Array]
    cluster_id: str = ""
    ignore: Region | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    boundaries: tuple[BoolArray, ...] = ()
    boundary_max_dist: float | None = None
    annotated: Callable[[], Annotated] | None = None
    concepts: tuple[ConceptTruth, ...] = ()

    def __post_init__(self) -> None:
        if not self.cluster_id:
            object.__setattr__(self, "cluster_id", self.image_id)
        # Once for all readers and all tasks: what a task would meet alone it would count alone.
        left_out = Counter({k: n for k, n in self.left_out.items() if n})
        kept = []
        for instance in self.instances:
            kind = self._unusable(instance.region)
            if kind:
                left_out[kind] += 1
            else:
                kept.append(instance)
        if len(kept) < len(self.instances):
            object.__setattr__(self, "instances", tuple(kept))
        object.__setattr__(self, "left_out", left_out)

    def _unusable(self, region: Region) -> str:
        if not region.area:
            return EMPTY
        hidden = self.ignore is not None and self.ignore.area and region.intersection(self.ignore) == region.area
        return IGNORED if hidden else ""

    @property
    def n_objects(self) -> int:
        """What an index counts: objects, boundary maps, and phrases."""
        return len(self.instances) + len(self.boundaries) + len(self.concepts)

    @property
    def n_dropped(self) -> int:
        """Annotations that were meant as objects and are none: all that are left out but crowds and groups."""
        return sum(n for kind, n in self.left_out.items() if kind not in NEVER_OBJECTS)

    @cached_property
    def image(self) -> UInt8Array:
        """uint8 [H, W, 3], RGB. Raises DataError where the file is broken or its size is not (height, width)."""
        return self.read()


@dataclass(frozen=True)
class ImageRecord:
    """What a dataset's index knows of an image without opening it.

    n_masks: annotated objects, before empty masks are dropped; of a dataset of concepts the image's phrases. file: where the image
    file is, or should be; '' where the pixels come from no file.
    """

    image_id: str
    n_masks: int
    cluster_id: str = ""
    file: str = ""


@runtime_checkable
class Dataset(Protocol):
    """What a reader gives: an index, and samples by image id. Picklable, cheap to build, no torch.

    annotation_digest: sha256 hex over the bytes of all files that decide what the objects are; two copies of one release agree,
    whatever their location and times. It is asked again while the dataset is evaluated, to see that nothing changed, and must look
    at the files each time. Hashes of `sambench.files.content` cost no second reading, and let changes be seen image by image.
    """

    name: str
    variant: str

    def index(self) -> Sequence[ImageRecord]:
        """All images that have annotations, in dataset order."""
        ...

    def load(self, image_id: str) -> Sample: ...

    def annotation_digest(self) -> str: ...


@runtime_checkable
class ListsImages(Protocol):
    """A reader that can load images that its index leaves out, for they hold no objects."""

    def all_image_ids(self) -> list[str]:
        """Every image, in dataset order."""
        ...


@runtime_checkable
class ForDetection(ListsImages, Protocol):
    """A reader with what average precision needs beside masks."""

    def category_names(self) -> dict[int, str]:
        """Names of the categories by their ids."""
        ...

    def image_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...


@runtime_checkable
class SaysHolds(Protocol):
    """A reader that says itself what ground truth it gives, whatever its card's `mask_kind`."""

    @property
    def holds(self) -> Holds: ...


@runtime_checkable
class InFolder(Protocol):
    """A reader of the files below one folder."""

    root: Path


@runtime_checkable
class Wrapper(Protocol):
    """A dataset that stands before a reader, `inner`."""

    inner: Dataset


def reader_of(dataset: Dataset) -> Dataset:
    """The reader itself, to be asked by isinstance for what it offers beyond `Dataset`."""
    return dataset.inner if isinstance(dataset, Wrapper) else dataset


@dataclass(frozen=True)
class Prompt:
    """What one object is asked for with.

    points_xy float32 [N, 2] in pixels of the original image; labels int8 [N], 1 foreground and 0 background; box_xyxy or None.
    multimask: several candidates (True) or the model's single best output (False).
    carry: `Prediction.carry[i]` of the candidate that goes on, or None; opaque to the tasks.
    """

    points_xy: FloatArray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    labels: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    box_xyxy: BoxXYXY | None = None
    multimask: bool = True
    carry: Any = None


class Masks(Protocol):
    """The C candidate masks of one prompt, lazy: every method touches only the pixels that it needs.

    `sambench.pixels.candidates` has the implementations: dense arrays, and low-resolution logits with their geometry.
    A candidate may be empty. Indices i run over candidates.
    """

    height: int
    width: int

    def __len__(self) -> int: ...

    def region(self, i: int) -> Region:
        """Candidate i as its tight window."""
        ...

    def area(self, threshold: float = 0.0) -> npt.NDArray[np.int64]:
        """[C], pixels whose logit is above `threshold`; dense masks without logits allow 0 only."""
        ...

    def box(self) -> npt.NDArray[np.int64]:
        """[C, 4], xyxy inclusive; zeros where empty."""
        ...

    def iou(self, target: Region, ignore: Region | None = None) -> npt.NDArray[np.float64]:
        """[C], IoU with `target` in [0, 1], pixels of `ignore` counted nowhere; 0 where the candidate is empty."""
        ...

    def rle(self, i: int) -> dict[str, Any]:
        """COCO compressed RLE, {'size': [H, W], 'counts': bytes}."""
        ...

    def array(self, i: int) -> BoolArray:
        """bool [H, W], the whole frame."""
        ...

    def prob(self, i: int, window: Window | None = None) -> FloatArray:
        """float32 foreground probability on `window` (default: the whole frame)."""
        ...


@dataclass(frozen=True)
class Prediction:
    """Answer to one prompt: C candidates.

    scores float32 [C]: the model's own estimate, higher is better; its unit is the model's.
    carry: one opaque state per candidate, to be put in the next prompt, or None for models without memory.
    """

    masks: Masks
    scores: FloatArray
    carry: Sequence[Any] | None = None

    @property
    def top_index(self) -> int:
        """The candidate that the model itself ranks first (the first of equals; NaN scores rank last)."""
        return int(np.argmax(np.nan_to_num(self.scores, nan=-np.inf)))


@runtime_checkable
class Segmenter(Protocol):
    """A promptable model. No base class: any object with these two methods is one.

    Optional attributes that the suite reads: `max_batch` (prompts per decode call, default 64), `device_kind`
    ('cpu' or 'cuda', default 'cpu'), `precision` (default 'fp32'), `identity` (a mapping of everything else that can change a
    number: settings, weights' sha256). Optional, too: `prepare(image)`, the part of encode that needs no device (resizing), which a
    thread calls on the next image; `encode` is then given what it returned.
    """

    def encode(self, image: UInt8Array) -> Any:
        """image uint8 [H, W, 3] RGB -> anything; called once an image."""
        ...

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        """One prediction a prompt, in order. Masks are bool [C, H, W] arrays, or a `Masks`."""
        ...


@runtime_checkable
class EdgeDetector(Protocol):
    """A model of the edge task that is no segmenter. It may have the same optional attributes as a Segmenter."""

    def edges(self, image: UInt8Array) -> EdgeOutput:
        """image uint8 [H, W, 3] RGB -> strength float [H, W] in [0, 1], or a family of binary maps bool [T, H, W]."""
        ...


@runtime_checkable
class EdgeAnnotators(Protocol):
    """Who stands for the people that annotated a dataset's edges: each is compared with the others."""

    def leave_one_out(self, boundaries: Sequence[BoolArray], where: str) -> list[tuple[BoolArray, list[BoolArray]]]:
        """(a map bool [H, W], those that it is compared with), for each annotator of an image. Raises DataError naming `where`."""
        ...


@runtime_checkable
class EdgeMapSource(Protocol):
    """Edge maps that were made elsewhere and are looked up by image."""

    def edge_map(self, image_id: str, size: tuple[int, int]) -> EdgeOutput:
        """size: (height, width) of the image. As `EdgeDetector.edges`. Raises DataError that names the map and what to do."""
        ...


@dataclass(frozen=True)
class Proposals:
    """Class-agnostic masks of one image, by falling score. rles: COCO compressed RLE of the image's size; scores float64 [N]."""

    rles: Sequence[Mapping[str, Any]]
    scores: npt.NDArray[np.float64]


@runtime_checkable
class ProposalSource(Protocol):
    """Proposals that were made elsewhere and are looked up by image."""

    def proposals(self, image_id: str, size: tuple[int, int], most: int) -> Proposals:
        """The `most` of highest score. size: (height, width) of the image. Raises DataError that names the entry and what to do."""
        ...

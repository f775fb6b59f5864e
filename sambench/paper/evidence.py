"""The results of several runs, asked for by task, system and dataset; and whether a cell's set is the one of the paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from sambench import cards
from sambench.errors import UsageError
from sambench.layout import is_missing
from sambench.metrics.bootstrap import PairedDifference, paired_difference
from sambench.metrics.ratings import RatingDifference
from sambench.paper.published import PublishedValue
from sambench.provenance import digest
from sambench.results.apart import apart
from sambench.results.names import changed_settings, model_labels, model_names
from sambench.results.pairing import pair_objects, unlike
from sambench.results.rescore import DEFAULT_BOOTSTRAP, rescore
from sambench.results.tables import metric_rows_of
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap

# paper: the paper's very images. redrawn: as many masks, drawn anew, for the paper's list is unpublished. other: neither.
SubsetKind = Literal["paper", "redrawn", "other"]
Rated = Mapping[str, Mapping[str, RatingDifference]]
GENERATED = " (generated)"


class System(NamedTuple):
    """A model with its options and changed settings: what has one column or row.

    label: of columns of data and files (`results.names.model_labels`); name: what tables and figures show (`model_names`). Both
    unique. called: the name alone, without what sets it apart.
    """

    key: str
    model: str
    label: str
    name: str
    called: str = ""


@dataclass(frozen=True)
class Entry:
    """A cell with its metric rows."""

    cell: CellView
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return metric_rows_of(self.cell, self.bootstrap)

    @cached_property
    def dataset(self) -> str:
        """The dataset's id and variant; a generated copy says so, and is never taken for the dataset."""
        return self.cell.dataset + (GENERATED if self.generated else "")

    @property
    def generated(self) -> bool:
        return self.cell.record.subset.name == "generated"

    @property
    def model(self) -> str:
        return self.cell.model

    @cached_property
    def partial(self) -> str:
        """Why the numbers are not those of the whole subset; empty where they are."""
        return "; ".join(self.cell.partial_reasons())

    @property
    def overlaps(self) -> bool:
        """Whether the model's card says that it was trained on data that this dataset shares."""
        card = cards.model_cards().get(self.model)
        return card is not None and not self.generated and self.cell.record.dataset.id in card.overlaps

    def row(self, metric: str, **wanted: Any) -> dict[str, Any] | None:
        """The metric row of these columns; those not named must be empty where they set rows apart (group, max_dets)."""
        free = {"group_by": None, "group": None} | wanted
        for row in self.rows:
            if row["metric"] == metric and all(_same(row[k], v) for k, v in free.items()):
                return row
        return None

    def value(self, metric: str, **wanted: Any) -> float | None:
        """As `row`, its value alone."""
        found = self.row(metric, **wanted)
        return None if found is None or is_missing(found["value"]) else float(found["value"])

    def groups(self, group_by: str) -> list[dict[str, Any]]:
        """Metric rows of every group of objects. Raises UsageError where the rows have no such groups."""
        return rescore(self.cell, bootstrap=self.bootstrap, group_by=group_by)

    def fitting(self, value: PublishedValue) -> dict[str, Any] | None:
        """The metric row that measures what a published number says, or None. Generated copies measure nothing of the paper."""
        return next((row for row in self.rows if value.fits(row)), None)


def _same(found: Any, wanted: Any) -> bool:
    if wanted is None:
        return is_missing(found) or found == ""
    return bool(found == wanted)


class Evidence:
    """Cells of any tasks, models and datasets, found by what they measure. Holds no results of its own.

    rated: differences of mean ratings by dataset, by what the model was rated beside (`baseline`, `single_output`).
    """

    def __init__(
        self, cells: Iterable[CellView], bootstrap: Bootstrap = DEFAULT_BOOTSTRAP, *, rated: Rated | None = None
    ) -> None:
        self.rated = rated or {}
        self.entries = tuple(Entry(cell, bootstrap) for cell in cells)
        self.bootstrap = bootstrap

    def of(self, task: str, **settings: Any) -> dict[System, dict[str, Entry]]:
        """Entries of a task by system and dataset, in the order of the cells. settings: that must be as given (prompt="center").

        Of several cells of one system on one dataset the most complete counts; where these are equally complete and were read from
        other annotations, with other options or of another subset, none does (`doubtful` says so).
        """
        found, _ = self._found(task, settings)
        cells = [next(iter(by_dataset.values())).cell for by_dataset in found.values()]
        labels, names = model_labels(cells), model_names(cells)
        out: dict[System, dict[str, Entry]] = {}
        for (model, key), cell, label, name in zip(found, cells, labels, names, strict=True):
            number = f" #{[k for m, k in found if m == model].index(key) + 1}"
            label += number if labels.count(label) > 1 else ""
            name += number if names.count(name) > 1 else ""
            out[System(key, model, label, name, cell.title)] = found[model, key]
        return out

    def doubtful(self) -> tuple[str, ...]:
        """Which datasets count for no mean and no claim, for two results fit: a sentence each."""
        asked = {(e.cell.task.name, getattr(e.cell.task.settings, "prompt", None)): None for e in self.entries}
        out = []
        for task, prompt in asked:
            _, tied = self._found(task, {} if prompt is None else {"prompt": prompt})
            for (_, dataset), cells in tied.items():
                which = ", ".join(apart(cells, [0] * len(cells)))
                out.append(
                    f"{cells[0].label} has {len(cells)} results on {dataset} ({which}): not comparable, and none of them counts; "
                    "name one as RUN/DATASET, with its whole folder's name"
                )
        return tuple(out)

    def _found(
        self, task: str, settings: Mapping[str, Any]
    ) -> tuple[dict[tuple[str, str], dict[str, Entry]], dict[tuple[tuple[str, str], str], list[CellView]]]:
        """Entries by model and key of the system, and by dataset; and the cells of those left out, for they are several."""
        found: dict[tuple[str, str], dict[str, Entry]] = {}
        tied: dict[tuple[tuple[str, str], str], list[CellView]] = {}
        for entry in self.entries:
            cell = entry.cell
            if cell.task.name != task or any(getattr(cell.task.settings, k, None) != v for k, v in settings.items()):
                continue
            system = (cell.model, _system_key(cell))
            held = found.get(system, {}).get(entry.dataset)
            if held is not None and _unsaid(held.cell) != _unsaid(cell):  # two detectors' boxes on one dataset
                system = (cell.model, digest([system[1], _unsaid(cell)]))
            by_dataset = found.setdefault(system, {})
            held = by_dataset.get(entry.dataset)
            if held is None or _rank(entry) > _rank(held):
                by_dataset[entry.dataset] = entry
                tied.pop((system, entry.dataset), None)
            elif _rank(entry) == _rank(held) and _read_otherwise(held.cell, cell):
                tied.setdefault((system, entry.dataset), [held.cell]).append(cell)
        for system, dataset in tied:
            del found[system][dataset]
        return {system: by_dataset for system, by_dataset in found.items() if by_dataset}, tied

    def runs(self) -> tuple[str, ...]:
        """Names of the runs, in order."""
        return tuple(dict.fromkeys(e.cell.run_name for e in self.entries))


def _unsaid(cell: CellView) -> str:
    """What is another for each dataset and names no system: a detector's file of boxes."""
    return str(getattr(cell.task.settings, "boxes_sha256", ""))


def _read_otherwise(a: CellView, b: CellView) -> bool:
    """Whether two cells of one dataset are of other annotations, options or images."""
    ours, theirs = a.record, b.record
    known = ours.dataset.options is not None and theirs.dataset.options is not None  # records of an earlier version had none
    return (
        ours.dataset.annotation_digest != theirs.dataset.annotation_digest
        or ours.subset.digest != theirs.subset.digest
        or (known and ours.dataset.options != theirs.dataset.options)
    )


def _system_key(cell: CellView) -> str:
    identity = {k: v for k, v in cell.record.model.given().items() if k != "name"}
    return digest([identity, changed_settings(cell)])


def _rank(entry: Entry) -> tuple[bool, int]:
    return not entry.partial, entry.cell.live.n_done


class Subset(NamedTuple):
    """kind: of the cell's set of images, against the paper's. why: in words, empty where it is the paper's. known: whether the
    paper says how large its set is.
    """

    kind: SubsetKind
    why: str
    known: bool = True


def subset_of(cell: CellView, n_images: int | None = None) -> Subset:
    """Whether the cell's images are the paper's. n_images: the paper's number where the dataset's card has none."""
    live, record = cell.live, cell.record
    if record.subset.name == "generated":
        return Subset("other", "a generated copy, not the dataset")
    reasons = cell.partial_reasons()
    if reasons:
        return Subset("other", "; ".join(reasons))
    card = cards.dataset_cards().get(record.dataset.id)
    paper = card.paper if card else None
    if paper is None:
        if n_images is None:
            return Subset("other", "the paper has no counts of this set", known=False)
        same = live.n_done == n_images
        return Subset("paper", "") if same else Subset("other", f"{live.n_done:,} images; the paper's set has {n_images:,}")
    counts = f"{live.n_done:,} images and {live.n_objects:,} masks; the paper's set has {paper.images:,} and {paper.masks:,}"
    if paper.subsampled:
        if record.subset.is_paper_size:
            return Subset("redrawn", "as many masks as the paper's draw, whose list is unpublished")
        return Subset("other", counts)
    return Subset("paper", "") if (live.n_done, live.n_objects) == (paper.images, paper.masks) else Subset("other", counts)


def paired(a: Entry, b: Entry, *, k: int, bootstrap: Bootstrap, metric: str = "iou_top") -> tuple[PairedDifference | None, str]:
    """a minus b over the objects that both measured at k clicks; or None, and why not."""
    found = unlike(a.cell, b.cell)
    if found:
        return None, f"the two runs differ in {', '.join(found)}"
    try:
        both = pair_objects(a.cell, b.cell, metric, k).rows
    except UsageError as e:
        return None, e.message
    va, vb = (both[c].to_numpy() for c in ("value_a", "value_b"))
    clusters = both["cluster_id"].to_numpy()
    options: dict[str, Any] = {"n_resamples": bootstrap.n_resamples, "level": bootstrap.level, "seed": bootstrap.seed}
    return paired_difference(va, vb, clusters, **options), ""

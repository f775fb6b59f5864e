"""What a task is to the engine, the results and the command line. Members with a body are what most tasks want of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sambench.tasks.object_measures import ObjectMeasure, columns_as_measures
from sambench.tasks.table_columns import Measure, measures_of_rows

if TYPE_CHECKING:
    import pandas as pd

    from sambench.cards import Work
    from sambench.tasks.prompted import Context
    from sambench.tasks.set_measures import SetMeasure
    from sambench.tasks.summary import Bootstrap
    from sambench.types import Dataset, Gives, Holds, Sample


class StoredRows(Protocol):
    """Rows of a cell with status `ok`, read when they are asked for."""

    def frame(self) -> pd.DataFrame:
        """All that metrics may need at once."""
        ...

    def parts(self, columns: Sequence[str], /) -> Iterator[pd.DataFrame]:
        """Some columns of all rows, shard by shard; an image's rows are in one part."""
        ...


class Cell(Protocol):
    """What notes on a table may need of a stored cell."""

    @property
    def dataset(self) -> str:
        """Its id, with the variant unless that is the default."""
        ...

    @property
    def model(self) -> str:
        """Its id."""
        ...

    @property
    def label(self) -> str:
        """What the model is called in tables."""
        ...

    @property
    def proposals(self) -> Mapping[str, Any]:
        """What identifies the file of proposals that stands for a model; empty of a model that computes."""
        ...

    def values(self, columns: Sequence[str], where: tuple[str, str] | None = None, /) -> dict[str, list[Any]]:
        """Columns of its rows, those of failed images too. where: (column, value) of the rows that are read; None: all."""
        ...


class Task(Protocol):
    """A task with its settings. Frozen and picklable; a task's class names this one as its base, for what has a body here.

    name: as in `sambench run NAME`. version: of its protocol, raised when a change can move a number.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def settings(self) -> Any:
        """The dataclass that it was built from."""
        ...

    @property
    def protocol(self) -> str:
        """Name and version, as in `point@1`."""
        return f"{self.name}@{self.version}"

    @property
    def takes(self) -> tuple[Gives, ...]:
        """What a model must give: any one of these."""
        return ("masks", "single_mask")

    @property
    def needs(self) -> Holds:
        """What a dataset must hold."""
        return "masks"

    @property
    def whole_sets_only(self) -> bool:
        """Whether a score says nothing where images are missing or failed: there is none then."""
        return False

    @property
    def every_image(self) -> bool:
        """Whether images without an object are evaluated too."""
        return False

    @property
    def scores_annotated(self) -> bool:
        """Whether it scores all that is annotated, objects in an ignore region too, rather than `Sample.instances`."""
        return False

    @property
    def reduces(self) -> tuple[str, str] | None:
        """(column, value) of the rows that the metrics are made of; None: of all. Others are never loaded for that."""
        return None

    @property
    def untitled(self) -> tuple[str, ...]:
        """Settings that no title names."""
        return ()

    @property
    def plots(self) -> str:
        """What `sambench plot` draws of its runs: `edges`, precision over recall, and maps; `recall`, that of proposals;
        `detections`, precision over recall, and AP by category; `boundary`, boundary IoU over the boundary's width, of stored masks
        of annotated objects; `concepts`, cgF1 by its parts and the calibration of scores; nothing."""
        return ""

    @property
    def gallery(self) -> str:
        """What `sambench gallery` shows of its runs: a module of `sambench.report.galleries`, or nothing."""
        return ""

    @property
    def has_detections(self) -> bool:
        """Whether its rows hold detections with masks beside the annotations, as COCO's evaluators take them."""
        return False

    @property
    def columns(self) -> dict[str, str]:
        """Row schema: column -> type, as `schema.arrow_schema` reads it."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything of the protocol that can change a number: here all settings."""
        return {"protocol": self.protocol, **asdict(self.settings)}

    @property
    def wants_logits(self) -> bool:
        """Whether the task as it is set asks for more than boolean masks."""
        return False

    def without_logits(self, model: str, /) -> tuple[Task, str]:
        """The task for a model whose masks have no logits, and what must be said of it. Raises UsageError where there is none."""
        return self, ""

    def check_gives(self, gives: Gives, /) -> None:
        """Raise UsageError where the task as it is set has nothing for a model that gives that, one of `takes`."""
        return

    def check_dataset(self, dataset: Dataset, /) -> list[str]:
        """What must be said of the task's own files (boxes) beside a dataset. Raises DataError if they do not fit."""
        return []

    def check_images(self, dataset: Dataset, image_ids: Sequence[str], /) -> list[str]:
        """What must be said of the task's own files (clicks) beside the images of a dataset that run. Raises DataError if they do
        not fit."""
        return []

    def rows(self, sample: Sample, model: Any, context: Context, /) -> list[dict[str, Any]]:
        """All rows of one image. An exception is recorded as the image's failure."""
        ...

    def running(self, rows: Sequence[dict[str, Any]], /) -> dict[str, tuple[float, int]]:
        """Name -> (sum, count) of one image's rows, for running means on screen; they go into no result."""
        return {}

    def reduce(self, frame: pd.DataFrame, bootstrap: Bootstrap, /) -> list[dict[str, Any]]:
        """Metric rows (`schema.METRIC_COLUMNS`, less those of the cell) of a frame of rows with status `ok`."""
        ...

    def reduce_stored(self, rows: StoredRows, bootstrap: Bootstrap, /) -> list[dict[str, Any]]:
        """`reduce` of stored rows. A task whose rows are many reads them in parts."""
        return self.reduce(rows.frame(), bootstrap)

    def measures(self, rows: Sequence[Mapping[str, Any]], /) -> list[Measure]:
        """The columns of numbers of its table, given the metric rows of all its cells: here one for every kind of metric row."""
        return measures_of_rows(rows)

    @property
    def in_percent(self) -> str:
        """What the percentages of its table are, as the note's beginning; empty where `table_notes` say it."""
        return "Fractions in percent"

    @property
    def objects(self) -> str:
        """What the objects of its datasets are called in tables."""
        return "objects"

    @property
    def people(self) -> str:
        """The variant of metric rows that hold people's own numbers, for a row of the table; empty where there are none."""
        return ""

    def table_notes(self, cells: Sequence[Cell], /) -> list[str]:
        """What its table must say beside the numbers. cells: of one protocol and settings."""
        return []

    def method(self) -> str:
        """What a paper's methods section says of it, beside the protocol and the settings that were changed."""
        return "the task's own protocol"

    @property
    def follows(self) -> tuple[Work, ...]:
        """The works whose evaluation it is, for a methods section."""
        return ()

    def object_measures(self) -> Mapping[str, ObjectMeasure]:
        """What two runs are compared by, object by object, the default first: here every column of the type `double`."""
        return columns_as_measures(self.columns)

    def set_measures(self) -> Mapping[str, SetMeasure]:
        """What two runs are compared by as a whole, where the score is no mean over objects; the first goes before all of
        `object_measures`."""
        return {}

"""What is said while a run goes on: an event for each thing that can be told, by its kind, `event`.

The first four come from the command itself (`engine.run`). Those up to `Waiting` are what workers say of their images, and
`Note` is anyone's. The rest is between a worker process, or a place elsewhere, and whoever started it, and ends there. Worker
processes send events as lines of JSON: all values are plain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NotRequired, TypeAlias, TypedDict

from sambench.sources.base import Description


class Index(TypedDict):
    """A dataset's files are looked at for the first time: `done` of `total`."""

    event: Literal["index"]
    dataset: str
    done: int
    total: int


class Download(TypedDict):
    """A model's weights are fetched. done, total: bytes; None: nobody says how many."""

    event: Literal["download"]
    model: str
    done: int
    total: int | None


class Begin(TypedDict):
    """A cell was opened. n_images: those that are wanted; missing: the ids of those to be computed. n_objects: annotations."""

    event: Literal["begin"]
    cell_id: str
    dataset: str
    model: str
    cell_dir: str
    n_images: int
    n_objects: int
    missing: list[str]


class Interrupt(TypedDict):
    """The run was asked to stop, for the first or the second time. grace_s: how long the step at hand may take."""

    event: Literal["interrupt"]
    times: int
    grace_s: float


class Cell(TypedDict):
    """A worker has turned to a cell."""

    event: Literal["cell"]
    cell_id: str


class Started(TypedDict):
    """A worker has begun an image."""

    event: Literal["started"]
    cell_id: str
    image_id: str


class Image(TypedDict):
    """An image is done. running: of its rows (sum, count) by name, as `Task.running` gives them. traceback: of a failure that does
    not explain itself; between a worker and its process's parent alone, which shows it."""

    event: Literal["image"]
    cell_id: str
    image_id: str
    status: str
    error: str
    n_objects: int
    running: Mapping[str, tuple[float, int]]
    traceback: NotRequired[str]


class Waiting(TypedDict):
    """A worker waits for a shard in other hands: `holder` of another command, or pid of this machine. how: to end that."""

    event: Literal["waiting"]
    cell_id: str
    dataset: str
    holder: str | None
    pid: int | None
    how: str


class Note(TypedDict):
    """A sentence for the user."""

    event: Literal["note"]
    text: str


class Ready(TypedDict):
    """A worker process has built its model."""

    event: Literal["ready"]


class Described(Description):
    """A worker process has described its model."""

    event: Literal["described"]


class Done(TypedDict):
    """A worker process has seen that all is stored."""

    event: Literal["done"]


class Stopped(TypedDict):
    """A worker process has stopped when it was asked to."""

    event: Literal["stopped"]


class Fatal(TypedDict):
    """A worker process ends with an error. kind: a class of `sambench.errors`, or `bug`; parts: its arguments by name. logged: the
    process's log has the traceback."""

    event: Literal["fatal"]
    kind: str
    traceback: str
    parts: dict[str, str | None]
    logged: bool


class Worker(TypedDict):
    """A place elsewhere has started a worker process."""

    event: Literal["worker"]
    host: str
    pid: int


Event: TypeAlias = (
    Index | Download | Begin | Interrupt | Cell | Started | Image | Waiting | Note
    | Ready | Described | Done | Stopped | Fatal | Worker
)  # fmt: skip
OnEvent: TypeAlias = Callable[[Event], None]


def unheard(event: Event) -> None:
    """An `OnEvent` of who wants to hear nothing."""

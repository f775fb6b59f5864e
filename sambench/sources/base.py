"""What every source of models has in common: what it gives, how a device is chosen, and the one Protocol that they all follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict, runtime_checkable

from sambench import cards
from sambench.errors import UsageError
from sambench.types import Dataset, Gives

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ModelSpec:
    """What a worker needs to build a model; plain values, so that it travels as JSON.

    name: as on the command line: a card's id or path, a name of a source (`python:path.py:factory`, `hf:ID`, `edges:FOLDER`,
    `proposals:FILE`, `concepts:FILE`), or two of them, `DETECTOR+SEGMENTER`.
    weights: the checkpoint file, as the command sees it. pinned: ORGANISATION/NAME@COMMIT of a model of the hub, whose folder
    is named. A node that does not see them fetches its own, once for all its workers. contents: what its files held when the
    command began, by what names them (`build` compares). probe: when it is described, look whether its masks have logits.
    """

    name: str
    options: dict[str, Any]
    device: str
    precision: str
    weights: str | None = None
    contents: dict[str, Any] = field(default_factory=dict)
    probe: bool = False
    pinned: str = ""


@dataclass(frozen=True)
class ResolvedModel:
    """A model before it is built. id: short name for directories and tables; identity: all of it that can change a number.

    gives: of a `python:` model known once it is described. logits: whether its masks have logits, where that is known. notes: what
    must be said of it. label: what the user calls it, "" where that is its id.
    """

    spec: ModelSpec
    id: str
    title: str
    identity: dict[str, Any]
    uses_torch: bool = True
    weights_bytes: int = 0
    card: cards.ModelCard | None = field(default=None, compare=False)
    gives: Gives = "masks"
    logits: bool | None = None
    notes: tuple[str, ...] = ()
    label: str = field(default="", compare=False)

    @property
    def called(self) -> str:
        """What it is called on screen."""
        return self.label or self.id


@runtime_checkable
class ModelSource(Protocol):
    """What the names `prefix:...` of models mean, for one prefix: the object `SOURCE` of a module (`sambench.sources.models`).

    form: how such a name looks, for errors and lists; "" where nobody writes one. stored: its models are results made elsewhere,
    looked up by image, which cannot be asked for anything else.
    """

    form: str
    stored: bool

    def gives(self, name: str) -> Gives | None:
        """What the model of that whole name gives; None where only the built model knows."""
        ...

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        """Find the model and what of it can change a number, without building it.

        options: plain values. device: auto, cpu, cuda or cuda:N. precision: one of `sambench.device.precision.WORDS`. progress:
        told of a download (bytes done, bytes in all). The identity names at least `precision` and `device_kind`; only a
        `LateSource` may leave it empty.
        Raises ModelError, UsageError.
        """
        ...

    def build(self, spec: ModelSpec) -> Any:
        """The model itself, in any process of this machine. Raises ModelError, also where a file changed since it was resolved."""
        ...

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        """What must be said of the model beside a dataset of which these images run. Raises DataError where they do not fit."""
        ...


class Description(TypedDict):
    """What `sources.describe.describe` finds of a built model. device: that it is on; logits: as in `ResolvedModel`."""

    identity: dict[str, Any]
    device: str
    device_kind: str
    precision: str
    max_batch: int
    gives: Gives
    logits: bool | None
    notes: list[str]


@runtime_checkable
class LateSource(ModelSource, Protocol):
    """A source whose models are known once they are built: a worker describes one, and its identity is made of that."""

    def code(self, spec: ModelSpec) -> dict[str, str]:
        """Digests of the code that makes the model, by name. Asked in the process that built it."""
        ...

    def described(self, model: ResolvedModel, found: Mapping[str, Any]) -> ResolvedModel:
        """The model with its identity. found: what `sambench.sources.describe.describe` gives."""
        ...


def pick_device(requested: str, uses_torch: bool) -> str:
    """'auto' is the first CUDA device if the model uses torch and there is one, else the CPU."""
    if requested != "auto":
        kind = requested.partition(":")[0]
        if kind not in ("cpu", "cuda"):
            raise UsageError("an unknown device", where="--devices", expected="auto, cpu, cuda or cuda:N", found=repr(requested))
        if kind == "cuda" and uses_torch and not _ELSEWHERE.get():
            _check_cuda(requested)
        return requested if uses_torch else "cpu"
    if not uses_torch or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


_ELSEWHERE: ContextVar[bool] = ContextVar("_ELSEWHERE", default=False)


@contextmanager
def devices_elsewhere() -> Iterator[None]:
    """Within it devices are those of machines that cannot be looked at: a name that is one is taken for what it says."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def _check_cuda(device: str) -> None:
    import torch

    n = torch.cuda.device_count()
    index = device.partition(":")[2] or "0"
    if not index.isdigit() or int(index) >= n:
        raise UsageError(
            f"there is no device {device!r}",
            where="--devices",
            expected="cpu" if n == 0 else f"cpu or cuda:0 to cuda:{n - 1}",
            found=f"{n} CUDA devices that torch {torch.__version__} can use",
        )


def label_of(name: str) -> str:
    """A model's name as it can stand in the name of a folder."""
    fits = re.fullmatch(r"[\w][\w .+=-]{0,79}", name) is not None and name == name.strip(" .")
    return name if fits else slug(name)


def slug(text: str) -> str:
    """A text as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_").lower()[:80] or "model"

"""What `sambench gallery` shows of a task's runs, one module a view, found by its place. A task names it (`Task.gallery`).

A module here, or one that an installed package names under the entry-point group `sambench.galleries`, has `VIEW`, a `View`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.errors import PluginError
from sambench.plugins import Place
from sambench.store.views import CellView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACE = Place(__name__, "sambench.galleries", "gallery")
DISAGREEMENT = "disagreement"
COLOURS = "Green: ground truth; orange: the model's mask."


@dataclass(frozen=True)
class Pick:
    """What one entry of a sheet shows: a function of each panel's axes, and its numbers, as the view's `header` names them."""

    panels: tuple[Callable[[Axes], None], ...]
    data: tuple[Any, ...]


@dataclass(frozen=True)
class Asked:
    """kind: one of the view's. n: the most picks. k: a click count, for views of clicks. partner: the second run, of a
    disagreement. root: the dataset's folder, where it is not the known one."""

    kind: str
    n: int
    k: int | None = None
    partner: CellView | None = None
    root: Path | None = None


@dataclass(frozen=True)
class View:
    """kinds: title by criterion. usual: those that are shown where none is asked for. notes: by criterion, what a sheet says.
    header: of the picks' data. picks: raises SambenchError where there is nothing to show, as without stored masks. across: panels
    of a pick, by criterion. what: of which there are picks. panel_in: width of a panel, in inches. lacks: why a cell can have no
    picks of what is asked for, whatever is stored of it; "" where it can."""

    kinds: Mapping[str, str]
    usual: tuple[str, ...]
    notes: Mapping[str, str]
    header: tuple[str, ...]
    picks: Callable[[CellView, Asked], list[Pick]]
    across: Callable[[str], int]
    what: str = "objects"
    panel_in: float = 1.45
    lacks: Callable[[CellView, Asked], str] = lambda cell, asked: ""


def view_of(cell: CellView) -> View | None:
    """Of the cell's task, None where it has none. Raises PluginError where a plug-in's gives none."""
    name = cell.task.gallery
    module = PLACE.module(name) if name else None
    if module is None:
        return None
    view = getattr(module, "VIEW", None)
    if not isinstance(view, View):
        expected = "a module with VIEW, a sambench.report.galleries.View"
        raise PluginError(f"{name!r} is no gallery", where=PLACE.where(name), expected=expected, found=repr(view))
    return view

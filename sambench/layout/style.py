"""How figures look, and how they become files: one palette, one typeface, vector text, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sambench.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by readers with colour-blindness as well (Okabe and Ito 2008), darkest first so that few lines are clear ones.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", "-", "-", "--", "--", "--", ":")
INK, FAINT, GRID = "#222222", "#6f6f6f", "#e3e3e3"
PNG_DPI = 200
_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same widths everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "regular",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sambench",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib with these settings, and the caller's afterwards."""
    import matplotlib as mpl

    settings: Any = _RC
    with mpl.rc_context(settings):
        yield


def colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def series(i: int, *, line: bool = True) -> dict[str, Any]:
    """Keywords of the i-th line: colour, marker and, from the fourth on, a dashed line."""
    style = {"color": colour(i), "marker": MARKERS[i % len(MARKERS)]}
    return style | ({"linestyle": LINES[i % len(LINES)]} if line else {"linestyle": "none"})


def legend_above(axes: Axes, *, handle: float = 1.8) -> None:
    """The legend between title and plot, at the left, in as many columns as the figure is wide. handle: length, in font sizes."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure: Any = axes.figure
        entry_in = 0.072 * max(map(len, labels)) + 0.125 * (handle + 2.2)
        n = max(1, min(len(labels), int((figure.get_size_inches()[0] - 0.1) / entry_in)))
        figure.legend(handles, labels, loc="outside upper left", ncols=n, handlelength=handle, columnspacing=1.2, borderaxespad=0.2)


class Drawing(Protocol):
    """What can be drawn: `draw` fills an empty matplotlib figure of size_in (width, height in inches)."""

    @property
    def size_in(self) -> tuple[float, float]: ...

    @property
    def draw(self) -> Callable[[Figure], None]: ...


def render(picture: Drawing, forms: Sequence[str]) -> dict[str, bytes]:
    """The picture drawn once, as svg, png or pdf bytes by form."""
    from matplotlib.figure import Figure

    with styled():
        figure: Figure = Figure(figsize=picture.size_in, layout="constrained")
        picture.draw(figure)
        return {form: saved(figure, form, dpi=PNG_DPI if form == "png" else 150) for form in forms}


def saved(figure: Figure, form: str, *, dpi: int = 150) -> bytes:
    """The bytes of a figure as svg, png or pdf: the same every time, and with the texts as they are."""
    stream = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Producer": None}}.get(form)
    _no_formulas(figure)
    figure.savefig(stream, format=form, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def _no_formulas(figure: Figure) -> None:
    """Names from files are no formulas (`$`) and have no control characters, which an SVG cannot hold. What stands at a logarithmic
    axis (powers of ten) is one."""
    from matplotlib.text import Text

    logarithmic = (a for axes in figure.axes for a in (axes.xaxis, axes.yaxis) if a.get_scale() == "log")
    powers = {label for axis in logarithmic for label in axis.get_ticklabels(which="both")}
    for text in set(figure.findobj(Text)) - powers:
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))


_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="([\d.]+)pt"', re.DOTALL)


def inline_svg(svg: bytes, prefix: str, alt: str) -> str:
    """SVG to stand within a page: no prologue, ids of its own, a typeface that the reader has, a title for screen readers."""
    import html

    text = _METADATA.sub("", _PROLOGUE.sub("", svg.decode(), count=1))
    text = re.sub(r'(\sid="|href="#|url\(#)', lambda m: m.group(1) + prefix + "-", text)
    text = text.replace("DejaVu Sans", "var(--figure-font)").replace("'var(--figure-font)'", "var(--figure-font)")
    head, _, rest = text.partition(">")
    return f'{head} role="img" aria-label="{html.escape(alt, quote=True)}">{rest}'

"""Figure 5: where in the image the centres of objects are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sambench.metrics.properties import (
    center_heat_map,
)
from sambench.report.dataset_properties import MAX_IMAGES, NOT_NAMED, PANELS_ACROSS, Properties, measured, notes_on
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    shown_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def centers(definition: Definition, inputs: Inputs) -> Section:
    """Figure 5: where in the image the centres of objects are. options: bins."""
    found, why = measured(inputs, int(definition.options.get("max_images", MAX_IMAGES)))
    if not found:
        return definition.filled(absent=tuple(why) or (NOT_NAMED,))
    bins = int(definition.options.get("bins", 32))
    maps = [(p, center_heat_map(p.masks.center_xy, bins)) for p in found]
    across = min(PANELS_ACROSS, len(maps))
    down = -(-len(maps) // across)
    rows = [(p.dataset, i, j, float(m[i, j])) for p, m in maps for i in range(bins) for j in range(bins)]
    picture = Picture(
        definition.id,
        "Centres of objects, in fractions of the image",
        f"Heat maps of object centres of {', '.join(p.dataset for p in found)}",
        lambda figure: _draw_maps(figure, maps, across, down),
        ("dataset", "row", "column", "share"),
        tuple(rows),
        _size_in(across, down),
        ("Darker: more centres; each map is scaled to its own largest share.", *notes_on(found)),
        raster=True,
    )
    return definition.filled(pictures=(picture,), absent=tuple(why))


def _size_in(across: int, down: int) -> tuple[float, float]:
    return 2.1 * across + 0.5, 2.6 * down + 0.2


def _draw_maps(figure: Figure, maps: Sequence[tuple[Properties, Any]], across: int, down: int) -> None:
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for at, axes in enumerate(grid.flat):
        if at >= len(maps):
            axes.set_visible(False)
            continue
        properties, shares = maps[at]
        # Aspect "auto": constrained layout clips titles above axes that shrink to an aspect. `_size_in` makes them nearly square.
        axes.imshow(shares, cmap="Blues", extent=(0, 1, 1, 0), interpolation="nearest", vmin=0, aspect="auto")
        axes.set_title(f"{shown_name(properties.dataset)}\n{len(properties.masks.relative_size):,} objects", fontsize=8.5)
        axes.spines[:].set_visible(True)
        axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", "0.5", "1"])  # short: those of neighbours meet
        axes.tick_params(labelbottom=True)
    figure.supxlabel("share of the width", fontsize=9)
    figure.supylabel("share of the height", fontsize=9)


SECTION = centers

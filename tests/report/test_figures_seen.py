"""What stands in figures and pages: units, names, explained marks, equal scales, and that a report opens with what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sambench.layout import style
from sambench.paper.evidence import System
from sambench.report import boundary, edges, overlays
from sambench.report.document import Picture
from sambench.report.forms.html import to_html
from sambench.report.forms.latex import to_latex
from sambench.report.forms.markdown import to_markdown
from sambench.report.sections import centers, edge_sheet, mask_sheet, sizes
from sambench.results.boundary import BoundaryCurve
from sambench.store.views import CellView
from tests.helpers.cells import Maker, flat, point_cell
from tests.helpers.reports import report_of


def drawn(picture: Picture) -> Figure:
    with style.styled():
        figure = Figure(figsize=picture.size_in, layout="constrained")
        picture.draw(figure)
    return figure


def texts(figure: Figure) -> str:
    return "\n".join(found.get_text() for found in figure.findobj(Text))


def outside(figure: Figure) -> list[str]:
    """Texts of a drawn figure that reach beyond it."""
    width, height = figure.bbox.max
    shown = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = {t.get_text(): t.get_window_extent() for t in shown}
    return [text for text, b in boxes.items() if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]


@pytest.fixture
def duo(tmp_path: Path) -> list[CellView]:
    return [
        point_cell(tmp_path, "ppdls", "sam_vit_h", flat(0.8, 0.05)),
        point_cell(tmp_path, "gtea", "sam_vit_h", flat(0.6, 0.05)),
        point_cell(tmp_path, "ppdls", "sam_vit_b", flat(0.55, 0.05)),
        point_cell(tmp_path, "gtea", "sam_vit_b", flat(0.5, 0.05)),
        point_cell(tmp_path, "ppdls", "otsu", flat(0.5, 0.05), gap=None),
        point_cell(tmp_path, "gtea", "otsu", flat(0.7, 0.05), gap=None),
    ]


def curve(cell: CellView) -> BoundaryCurve:
    mean = np.array([0.4, 0.8])
    return BoundaryCurve(cell, 1, (0.01, 0.02), mean, mean - 0.1, mean + 0.1, 60, 20)


def boundary_figure(cells: Sequence[CellView], path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    kept: list[Figure] = []
    monkeypatch.setattr(style, "saved", lambda figure, form, dpi: kept.append(figure) or b"")
    boundary._draw([curve(c) for c in cells], path)
    return kept[0]


def test_the_boundary_curve_is_in_percent_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker(tmp_path / "runs")
    cells = [make.cell(), make.cell(run="point-otsu-1a1a1a1a", model="otsu")]
    figure = boundary_figure(cells, tmp_path / "x.png", monkeypatch)
    (axes,) = figure.axes
    assert axes.get_ylim() == (0, 100)
    assert "%" in axes.get_ylabel()
    assert axes.lines[0].get_ydata().tolist() == [40, 80]  # type: ignore[union-attr]
    said = texts(figure)
    assert "Grabcut\n40.0 % at a width of 1 %, 80.0 % at a width of 2 %" in said
    assert "\nOtsu\n" in said
    assert "1a1a1a1a" not in said


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker(tmp_path / "runs")
    cells = [make.cell(), make.cell(run="point-grabcut-1a1a1a1a")]
    assert "Grabcut, point-grabcut-1a1a1a1a" in texts(boundary_figure(cells, tmp_path / "x.png", monkeypatch))


def test_hollow_marks_are_explained_in_the_figure(duo: list[CellView]) -> None:
    (picture,) = report_of("fig9c", duo).sections[0].pictures
    assert "hollow: best of its masks (oracle)" in texts(drawn(picture))
    (picture,) = report_of("fig9c", duo[4:]).sections[0].pictures  # a single mask: none is hollow
    assert "hollow" not in texts(drawn(picture))


def test_bars_of_all_models_have_one_scale_and_name_their_diamonds(duo: list[CellView]) -> None:
    pictures = report_of("fig9a", duo, baseline="otsu").sections[0].pictures
    figures = [drawn(p) for p in pictures if not p.published]
    assert len(figures) == 2
    assert len({f.axes[0].get_xlim() for f in figures}) == 1
    assert [p.published for p in pictures] == [False, False, True]


def test_ratings_are_on_their_whole_scale(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    rows = [f"j{i}{m},r,ibd,{m},im{i},o,point,{s}" for i in range(4) for m, s in (("sam_vit_h", 8), ("otsu", 6 + i % 2))]
    path.write_text("\n".join(["job_id,rater,dataset,model,image_id,object_id,prompt,score", *rows]))
    (means,) = report_of("fig9b", ratings=(path,)).sections[0].pictures
    figure = drawn(means)
    low, high = figure.axes[0].get_xlim()
    assert low <= 1
    assert high >= 10
    assert "1 (worst) to 10 (best)" in texts(figure)
    (shares,) = report_of("fig18", ratings=(path,)).sections[0].pictures
    figure = drawn(shares)
    assert figure.axes[0].get_xticks().tolist() == list(range(1, 11))
    assert "1 (worst) to 10 (best)" in texts(figure)
    assert "percent of ratings" in texts(figure)


def test_distributions_of_masks_have_one_scale() -> None:
    def histogram(*share: float) -> Any:
        return SimpleNamespace(edges=np.linspace(0, 1, len(share) + 1), share=np.array(share))

    properties: Any = SimpleNamespace(dataset="demo")
    numbers = SimpleNamespace(edges=np.array([1, 11, np.inf]), share=np.array([0.2, 0.8]))
    kinds = [("masks", numbers), ("size", histogram(0.001, 0.4)), ("concavity", histogram(0.02, 0.9))]
    figure = Figure()
    sizes._draw_sizes(figure, [(name, [(properties, h)]) for name, h in kinds])
    assert figure.axes[1].get_ylim() == figure.axes[2].get_ylim()


def test_heat_maps_have_axes() -> None:
    masks = SimpleNamespace(relative_size=np.zeros(7))
    maps: Any = [(SimpleNamespace(dataset=d, masks=masks), np.eye(4)) for d in ("demo", "ppdls")]
    with style.styled():
        figure = Figure(figsize=centers._size_in(2, 1), layout="constrained")
        centers._draw_maps(figure, maps, 2, 1)
        style.saved(figure, "png", dpi=100)
    assert all(axes.axison for axes in figure.axes)
    assert all(said in texts(figure) for said in ("share of the width", "share of the height", "demo\n7 objects"))
    assert not outside(figure)


def test_every_row_of_a_mask_sheet_names_models_and_iou(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(overlays, "instance_of", lambda sample, ident: SimpleNamespace(region=None))
    monkeypatch.setattr(overlays, "window_of", lambda sample, regions: None)
    monkeypatch.setattr(overlays, "mask_of", lambda row: None)
    monkeypatch.setattr(overlays, "draw_panel", lambda axes, image, window, truth, panel: captions.append(panel.caption))
    systems = [System(label, label, label, label) for label in ("sam", "a_model_with_a_name_that_is_long")]
    row = {"clicks_xy": [1, 2], "clicks_label": [1], "iou_top": 0.826}
    sample: Any = SimpleNamespace(image_id="im", image=None)
    picks: Any = [SimpleNamespace(sample=sample, object_id="o", rows=dict.fromkeys(systems, row)) for _ in range(2)]
    mask_sheet._draw_masks(Figure(), picks, systems)
    assert captions == ["ground truth\nim", "sam\nIoU 83 %", "a_model_w…t_is_long\nIoU 83 %"] * 2


def test_an_edge_sheet_has_headings_above_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []
    monkeypatch.setattr(edges, "_write", lambda picture, text, x, y=16: written.append((text, x)))
    tall = np.zeros((60, 30, 3), np.uint8)  # pictures that are narrower than a column
    edges._sheet([(f"image {i}", tall, np.zeros((60, 30)), np.zeros((60, 30))) for i in range(2)])
    heads = [w for w in written if not w[0].startswith("image ")]
    assert [text for text, _ in heads] == [*edges._HEADS] * 2
    at = [x for _, x in heads[:3]]
    assert at[1] - at[0] == at[2] - at[1] == edges.TILE_PX + 8


def test_headings_of_tall_edge_maps_lie_within_the_figure() -> None:
    tall, line = np.zeros((90, 30, 3), np.uint8), np.eye(90, 30)
    sample: Any = SimpleNamespace(image_id="im", image=tall, boundaries=[line])
    maps: Any = {System(name, name, name, name): {"im": line} for name in ("sobel", "canny (sigma = 1.5, low = 0.3)")}
    with style.styled():
        figure = Figure(figsize=(edge_sheet.PANEL_IN * 4, 0.4 + edge_sheet.PANEL_IN), layout="constrained")
        edge_sheet._draw_edges(figure, [sample], maps)
        style.saved(figure, "png", dpi=100)
    assert not outside(figure)


def test_a_report_opens_with_what_was_measured(duo: list[CellView]) -> None:
    document = report_of("paper", duo)
    first, behind = document.parted
    assert {"table7", "fig9c"} <= {s.id for s in first}
    assert {"table2", "table3", "fig9b", "table8"} <= {s.id for s in behind}
    page = to_html(document)
    at = page.index('id="unmeasured"')
    assert page.index('id="section-fig9c"') < at < page.index('<details class="unmeasured" id="section-table3"')
    assert "Brown and Mori" not in page[:at]
    written = to_markdown(document)
    assert written.index("## Not measured") < written.index("<summary>Edge detection on BSDS500</summary>")
    assert written.count("<details>") == written.count("</details>") == len(behind)
    tex = to_latex(document)
    assert tex.index("sec:fig9c") < tex.index("sec:table3")


def test_nothing_is_folded_where_nothing_was_measured() -> None:
    document = report_of("table3")
    assert document.parted == (document.sections, ())
    assert "<details class=" not in to_html(document).split("runs-list")[0]


def test_a_table_of_gaps_alone_is_folded(tmp_path: Path) -> None:
    cells = [point_cell(tmp_path, "demo", "otsu", flat(0.5))]
    (section,) = report_of("table7", cells).sections
    assert section.measured
    assert [t.id for t in section.tables] == ["table7_others", "table7_suite", "table7_miou"]
    assert [section.gaps_alone(t) for t in section.tables] == [False, True, True]
    page = to_html(report_of("table7", cells))
    assert page.count("nothing measured") == 2
    (section,) = report_of("table7", [point_cell(tmp_path, "ppdls", "otsu", flat(0.5))]).sections
    assert not any(section.gaps_alone(t) for t in section.tables)

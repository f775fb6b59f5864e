"""The works that the protocols of the tasks follow, for a methods section and its bibliography."""

from __future__ import annotations

from sambench.cards import Work

SEGMENT_ANYTHING = Work(authors=("Kirillov", "others"), title="Segment Anything", venue="ICCV 2023, arXiv 2304.02643", year=2023)
HQ_SAM = Work(
    authors=("Ke", "others"), title="Segment Anything in High Quality", venue="NeurIPS 2023, arXiv 2306.01567", year=2023
)
SAM_3 = Work(
    authors=("Carion", "others"), title="SAM 3: Segment Anything with Concepts", venue="arXiv 2511.16719", year=2025
)
BSDS500 = Work(
    authors=("Arbelaez", "Maire", "Fowlkes", "Malik"),
    title="Contour Detection and Hierarchical Image Segmentation",
    venue="PAMI 2011",
    year=2011,
)

"""Human agreement on edges: each annotator of an image against the others (Martin et al., ICCV 2001; the BSDS500 benchmark)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.errors import DataError, ModelError
from sambench.models.edges.gradients import check_plain
from sambench.types import BoolArray, EdgeOutput, UInt8Array


class Annotators:
    """An `EdgeAnnotators`."""

    device_kind = "cpu"
    precision = "fp32"

    def edges(self, image: UInt8Array) -> EdgeOutput:
        """Raises ModelError: a picture alone has no annotators."""
        expected = "a dataset with several annotators per image: sambench run edge --model annotators"
        raise ModelError("the annotators' edges are in the dataset, not in an image", where="annotators", expected=expected)

    def leave_one_out(self, boundaries: Sequence[BoolArray], where: str) -> list[tuple[BoolArray, list[BoolArray]]]:
        """(an annotator's map, those of the others), for each annotator. Raises DataError naming `where` for fewer than two."""
        if len(boundaries) < 2:
            raise DataError(
                "an image has too few annotators to compare them",
                where=where,
                expected="at least two annotators",
                found=f"{len(boundaries)}",
                remedy="evaluate the images that have several: --subset FILE",
            )
        return [(one, [b for j, b in enumerate(boundaries) if j != i]) for i, one in enumerate(boundaries)]


def annotators(*, weights: Path | None = None, device: str = "cpu", precision: str = "fp32") -> Annotators:
    """The factory of the card `annotators`."""
    check_plain("annotators", device, precision, weights)
    return Annotators()

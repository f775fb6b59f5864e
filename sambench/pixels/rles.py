"""Many masks as compressed RLE at once: which can be read, their areas, boxes and overlaps, without a pixel of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunMasks:
    """N masks by their runs. ok bool [N]: whether the string can be read and its runs fill the frame; the others have no pixel.
    areas int64 [N], boxes int64 [N, 4] xywh: as pycocotools counts them. runs int64, those of mask n from runs_in[n]."""

    ok: npt.NDArray[np.bool_]
    areas: Ints
    boxes: Ints
    runs: Ints
    runs_in: Ints

    def __len__(self) -> int:
        return len(self.ok)

    def overlaps(self, others: RunMasks, crowd: npt.NDArray[np.bool_], first: Ints, last: Ints) -> Floats:
        """float64: IoU of mask n with those of `others` from first[n] to last[n], one after another; of a crowd the share of mask n
        inside. Equal to pycocotools' to the last bit."""
        from sambench.pixels._rle import overlaps

        out = np.empty(int((last - first).sum()))
        ours, theirs = ((m.runs, m.runs_in, m.areas, m.boxes) for m in (self, others))
        overlaps(*ours, *theirs, crowd, first, last, out)
        return out


def run_masks(counts: Sequence[bytes], heights: Ints, widths: Ints) -> RunMasks:
    """Of compressed strings in frames of those heights and widths [N]."""
    from sambench.pixels._rle import decode, measure

    n, data = len(counts), np.frombuffer(b"".join(counts), np.uint8)
    starts = np.concatenate(([0], np.cumsum([len(c) for c in counts]))).astype(np.int64)
    ok, areas, boxes = np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros((n, 4), np.int64)
    runs, runs_in = np.empty(len(data), np.int64), np.zeros(n + 1, np.int64)
    decode(data, starts, heights * widths, runs, runs_in, ok)
    runs = runs[: runs_in[-1]].copy()
    measure(runs, runs_in, heights, areas, boxes)
    return RunMasks(ok, areas, boxes, runs, runs_in)

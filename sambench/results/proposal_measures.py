"""What a table of proposal runs shows: recall by number of proposals, and by reference set at the largest number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sambench.metrics.proposals import AREA_SETS, FREQUENCY_SETS

if TYPE_CHECKING:
    from sambench.tasks.proposals import ProposalSettings


def numbers_of(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """The numbers of proposals in metric rows, ascending."""
    return sorted({int(r["max_dets"]) for r in rows if r["metric"] == "ar"})


def groups() -> Sequence[str]:
    """Reference sets beside all objects, in the table's order."""
    return (*AREA_SETS, *FREQUENCY_SETS)


def settings_note(settings: ProposalSettings, records: Sequence[Mapping[str, Any]]) -> str:
    """All that moves the numbers of these cells (their records), in words; of files of proposals only the number of them does."""
    files = [str(r["model"]["proposals"]["file_sha256"])[:8] for r in records if "proposals" in r["model"]]
    most = f"At most {max(settings.max_dets)} proposals an image"
    of_files = f"; those of files by score (sha256 {', '.join(dict.fromkeys(files))})" if files else ""
    return f"{most}{of_files}" + (f"; {_of_segmenters(settings)}." if len(files) < len(records) else ".")


def _of_segmenters(settings: ProposalSettings) -> str:
    outputs = "all candidates" if settings.multimask else "the single output"
    filters = [
        f"{name} at least {value:g}"
        for name, value in (("predicted IoU", settings.pred_iou), ("stability", settings.stability))
        if value
    ]
    ranks = {
        "mean": "mean of predicted IoU and stability",
        "iou": "predicted IoU",
        "random": f"chance, seed {settings.seed}",
    }
    measured = f", stability at logits of +-{settings.stability_offset:g}" if settings.rank == "mean" or settings.stability else ""
    return (
        f"those of segmenters from {settings.grid} x {settings.grid} points on the whole image, {outputs}, "
        f"{' and '.join(filters) or 'no filter'}, box suppression at {settings.nms_iou:g}, "
        f"ranked by {ranks[settings.rank]}{measured}"
    )

"""What the tables of the point and box tasks show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sambench.tasks.table_columns import Measure

MAX_CLICK_COLUMNS = 9
IOU_TOP = "iou_top"  # of `prompted_measures.OVERLAPS`
BOUNDARY_2PCT, BOUNDARY_1PCT = 0.02, 0.01


def point_measures(rows: Sequence[Mapping[str, Any]], paper_clicks: Sequence[int]) -> list[Measure]:
    """mIoU by clicks, its interval at the first count, the oracle with its number of candidates, bIoU, and NoC.

    Where a run has more than nine counts, those of the paper stand in the table.
    """
    counts = sorted({int(r["k"]) for r in rows if r["metric"] == "miou"})
    if len(counts) > MAX_CLICK_COLUMNS:
        counts = [k for k in counts if k in paper_clicks]
    out = [Measure(f"miou@{k}", f"mIoU@{k}", "percent", "miou", k=k) for k in counts]
    if counts:
        first = counts[0]
        out.insert(1, Measure(f"miou@{first}_ci", "CI", "interval", "miou", k=first, drawn_by=IOU_TOP))
        out.append(Measure(f"oracle@{first}", f"oracle@{first} (of)", "of", "miou", "oracle", first))
        if any(r["n_candidates"] > 3 for r in rows):
            out.append(Measure(f"oracle3@{first}", f"oracle of 3@{first}", "percent", "miou", "oracle@3", first))
        out.append(Measure(f"biou@{first}", f"bIoU@{first}", "percent", "mbiou", k=first, threshold=BOUNDARY_2PCT))
    limits = {float(r["threshold"]): int(r["k"]) for r in rows if r["metric"] == "noc"}
    for target in sorted(limits):
        name = f"{100 * target:.0f}"
        out.append(Measure(f"noc@{name}", f"NoC@{name}", "number", "noc", threshold=target))
        out.append(Measure(f"noc_at_limit@{name}", f">={limits[target]}@{name}", "count", "noc_at_limit", threshold=target))
        out.append(Measure(f"noc_failures@{name}", f"never {name}", "percent", "noc_failures", threshold=target))
    return out


def box_measures() -> list[Measure]:
    """mIoU with its interval, and mean boundary IoU at 2 % and 1 % of the diagonal; the oracle where there are candidates."""
    return [
        Measure("miou", "mIoU", "percent", "miou"),
        Measure("miou_ci", "CI", "interval", "miou", drawn_by=IOU_TOP),
        Measure("oracle", "oracle (of)", "of", "miou", "oracle"),
        Measure("mbiou_2pct", "bIoU 2 %", "percent", "mbiou", threshold=BOUNDARY_2PCT),
        Measure("mbiou_1pct", "bIoU 1 %", "percent", "mbiou", threshold=BOUNDARY_1PCT),
    ]

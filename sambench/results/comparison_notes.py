"""What a comparison says beside its numbers: what was left out, what is of a part of a set, and what its columns mean."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.metrics.paired import ALPHA, POWER
from sambench.results.comparison_table import ComparisonTable, Difference
from sambench.store.views import FEW_CLUSTERS, CellView, cluster_notes, partial_notes
from sambench.text import counted

_MAX_NAMED = 8
_UNITS = {("clicks", "objects"): "clicks", ("clicks", "images"): "clicks", ("fraction", "objects"): "points of IoU"}


def subset_note(a: CellView, b: CellView) -> list[str]:
    """Where two cells are of other subsets."""
    ours, theirs = (c.record.subset.digest for c in (a, b))
    if ours == theirs:
        return []
    return [f"{a.dataset}: the runs are on different subsets ({ours[:8]} and {theirs[:8]}); only shared images count"]


def notes_of(
    a: Sequence[CellView], b: Sequence[CellView], pairs: Sequence[tuple[CellView, CellView]], found: ComparisonTable
) -> list[str]:
    """All of them. pairs: the cells of A and B that were compared."""
    differences, unit = found.differences, _UNITS.get((found.unit, found.counted), "points")
    used = [c for pair in pairs for c in pair]
    notes = partial_notes(used)
    if found.by_category:
        notes += _few_notes(differences)
    else:
        notes += cluster_notes(dict.fromkeys((d.dataset, d.paired.n_clusters) for d in differences))
    for side, cells in (("A", a), ("B", b)):
        unused = [c.dataset for c in cells if c.dataset not in {u.dataset for u in used}]
        if unused:
            more = ", ..." if len(unused) > _MAX_NAMED else ""
            notes.append(f"only in {side}, left out: {', '.join(unused[:_MAX_NAMED])}{more}")
    for dataset in dict.fromkeys(d.dataset for d in differences):
        n_a = max(d.n_only_a for d in differences if d.dataset == dataset)
        n_b = max(d.n_only_b for d in differences if d.dataset == dataset)
        if n_a or n_b:
            what = "images" if any(d.score for d in differences) else found.counted
            notes.append(f"{dataset}: {what} without a partner left out, {n_a} of A and {n_b} of B")
    if any(d.score for d in differences):
        return notes + _of_sets(found)
    notes += _tallies(differences)
    corrected = "; Holm corrects it for the number of datasets" if len(pairs) > 1 else ""
    notes.append(
        f"A - B over paired {found.counted}; intervals by a bootstrap over clusters; p by a cluster-robust paired t-test, two-sided"
        f"{corrected}."
    )
    notes.append(
        f"detectable: the true difference ({unit}) that such a test at {100 * ALPHA:.0f} % would find in {100 * POWER:.0f} of 100 "
        "experiments of this size (a dash: none that can exist); d_z: mean difference over the standard deviation of differences."
    )
    return notes


def _of_sets(found: ComparisonTable) -> list[str]:
    corrected = "categories" if found.by_category else "datasets" if len({d.dataset for d in found.differences}) > 1 else ""
    holm = f"; Holm corrects it for the number of {corrected}" if corrected else ""
    return [
        "Scores in percent, of the images that both evaluated; intervals of A - B by a bootstrap over clusters, with the same "
        f"draws for both; p of the difference over its standard error in the draws, two-sided{holm}."
    ]


def _few_notes(differences: Sequence[Difference]) -> list[str]:
    """Categories whose objects lie in too few images."""
    few = [d for d in differences if d.paired.n_clusters < FEW_CLUSTERS]
    if not few:
        return []
    alone = sum(d.paired.n_clusters == 1 for d in few)
    of_one = f"; {alone} in a single one, which says nothing of how they vary" if alone else ""
    n = len(differences)
    return [
        f"{len(few)} of {n} categories have objects in fewer than {FEW_CLUSTERS} independent images or scenes: their intervals are "
        f"likely too narrow{of_one}"
    ]


def _tallies(differences: Sequence[Difference]) -> list[str]:
    """At each k: on how many datasets A is ahead, and behind, and where that is more than chance."""
    out = []
    for k in dict.fromkeys(d.k for d in differences):
        here = [d for d in differences if d.k == k]
        if len(here) < 2:
            continue
        ahead = [d for d in here if d.paired.mean > 0]
        behind = [d for d in here if d.paired.mean < 0]
        sure = [sum(d.p_holm < ALPHA for d in side) for side in (ahead, behind)]
        at = f"at {counted(k, 'click')}, " if k else ""
        out.append(
            f"{at}A is ahead on {len(ahead)} of {len(here)} datasets ({sure[0]} of them with p < {ALPHA:g} after Holm), "
            f"behind on {len(behind)} ({sure[1]})"
        )
    return out

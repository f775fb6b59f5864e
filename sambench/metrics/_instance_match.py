"""The compiled part of `sambench.metrics.instances`: COCO's matching and accumulation (pycocotools' `COCOeval`, line by line).

A bit of a uint16 is an IoU threshold, from the lowest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sambench.pixels.jit import jit

SPACING = 2.0**-52  # numpy's spacing(1), by which pycocotools keeps 0 from being divided by 0
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint16]


@jit
def match(
    ious: Floats,
    row_of: Ints,
    areas: Floats,
    exhaustive: npt.NDArray[np.bool_],
    found_in: Ints,
    column_of: Ints,
    gt_areas: Floats,
    gt_crowd: npt.NDArray[np.bool_],
    truth_in: Ints,
    thresholds: Floats,
    ranges: Floats,
    matched: Bits,
    ignored: Bits,
    n_counted: Ints,
) -> None:
    """Fill matched and ignored [D, A] and n_counted [N, A], objects that count, of N groups (an image and a category).

    ious is flat: that of detection d with object g is at row_of[d] + column_of[g]. Detections, by falling score within a group, are
    those of group n from found_in[n] to found_in[n + 1], objects by truth_in. thresholds [T] at most 1 - 1e-10; ranges [A, 2].
    """
    every = np.uint16((1 << len(thresholds)) - 1)
    largest = 0
    for n in range(len(truth_in) - 1):
        largest = max(largest, truth_in[n + 1] - truth_in[n])
    order, taken = np.empty(largest, np.int64), np.empty(largest, np.bool_)
    for n in range(len(found_in) - 1):
        first, n_objects = truth_in[n], truth_in[n + 1] - truth_in[n]
        for a in range(len(ranges)):
            low, high = ranges[a]
            counted = 0  # objects that count go first, both parts in their order
            for g in range(first, first + n_objects):
                if not (gt_crowd[g] or gt_areas[g] < low or gt_areas[g] > high):
                    order[counted] = g
                    counted += 1
            n_counted[n, a] = counted
            at = counted
            for g in range(first, first + n_objects):
                if gt_crowd[g] or gt_areas[g] < low or gt_areas[g] > high:
                    order[at] = g
                    at += 1
            for d in range(found_in[n], found_in[n + 1]):
                matched[d, a] = 0
                # What matches nothing is ignored where it has another size, or where not every object is annotated.
                loose = areas[d] < low or areas[d] > high or not exhaustive[d]
                ignored[d, a] = every if loose else np.uint16(0)
            if n_objects == 0:
                continue
            for t in range(len(thresholds)):
                bit = np.uint16(1 << t)
                taken[:n_objects] = False
                for d in range(found_in[n], found_in[n + 1]):
                    best, m = thresholds[t], -1
                    for j in range(n_objects):
                        g = order[j]
                        if taken[j] and not gt_crowd[g]:
                            continue
                        if m > -1 and m < counted and j >= counted:
                            break
                        iou = ious[row_of[d] + column_of[g]]
                        if iou < best:  # of equal IoUs the later object
                            continue
                        best, m = iou, j
                    if m < 0:
                        continue
                    taken[m] = True
                    matched[d, a] |= bit
                    if m >= counted:
                        ignored[d, a] |= bit
                    else:
                        ignored[d, a] &= ~bit


@jit
def accumulate(
    rank: npt.NDArray[np.int32],
    matched: Bits,
    ignored: Bits,
    found_in: Ints,
    n_counted: Ints,
    max_dets: Ints,
    recalls: Floats,
    precision: Floats,
    recall: Floats,
) -> None:
    """Fill precision [T, R, K, A, M] and recall [T, K, A, M] of K categories where an object counts (n_counted [K, A]).

    Detections by falling score within a category; those of category k from found_in[k] to found_in[k + 1]. rank: from 0 within the
    image and category. Only precision at true positives is kept: between two of them it falls, so no recall is reached there.
    """
    n_thresholds, n_areas = len(precision), matched.shape[1]
    tp, fp = np.empty(n_thresholds, np.int64), np.empty(n_thresholds, np.int64)
    for k in range(len(found_in) - 1):
        for a in range(n_areas):
            n_objects = n_counted[k, a]
            if n_objects == 0:
                continue
            at_hit = np.empty((n_thresholds, n_objects))
            for m in range(len(max_dets)):
                tp[:] = 0
                fp[:] = 0
                for d in range(found_in[k], found_in[k + 1]):
                    if rank[d] >= max_dets[m]:
                        continue
                    hit, loose = matched[d, a], ignored[d, a]
                    for t in range(n_thresholds):
                        if (loose >> t) & 1:
                            continue
                        if (hit >> t) & 1:
                            tp[t] += 1
                            at_hit[t, tp[t] - 1] = tp[t] / (fp[t] + tp[t] + SPACING)
                        else:
                            fp[t] += 1
                for t in range(n_thresholds):
                    recall[t, k, a, m] = tp[t] / n_objects
                    for i in range(tp[t] - 1, 0, -1):
                        at_hit[t, i - 1] = max(at_hit[t, i - 1], at_hit[t, i])
                    i = 0
                    for r in range(len(recalls)):
                        while i < tp[t] and (i + 1) / n_objects < recalls[r]:
                            i += 1
                        precision[t, r, k, a, m] = at_hit[t, i] if i < tp[t] else 0.0


@jit
def precision_of_draws(
    image: Ints,
    matched: Bits,
    ignored: Bits,
    found_in: Ints,
    counted_image: Ints,
    counted: Ints,
    counted_in: Ints,
    weights: Floats,
    recalls: Floats,
    n_thresholds: int,
    out: Floats,
) -> None:
    """Fill out [R, K, A, T]: of each draw the mean of the precision over recalls, NaN of categories without an object that counts.

    As `accumulate` with all detections, where an image that stands w times in a draw counts w times. image [D] and counted_image
    [C]: columns of weights [R, N]; detections of category k, by falling score, from found_in[k] to found_in[k + 1]; counted [C, A],
    objects that count by image, those of category k from counted_in[k].
    """
    n_areas = out.shape[2]
    longest = 0
    for k in range(len(found_in) - 1):
        longest = max(longest, found_in[k + 1] - found_in[k])
    at_hit, reached = np.empty((n_thresholds, longest)), np.empty((n_thresholds, longest))
    tp, fp, n_hits = np.empty(n_thresholds), np.empty(n_thresholds), np.empty(n_thresholds, np.int64)
    for r in range(len(weights)):
        for k in range(len(found_in) - 1):
            for a in range(n_areas):
                n_objects = 0.0
                for c in range(counted_in[k], counted_in[k + 1]):
                    n_objects += weights[r, counted_image[c]] * counted[c, a]
                if n_objects == 0:
                    out[r, k, a, :] = np.nan
                    continue
                missed = 0.0  # those that are wrong at every threshold, which most are
                tp[:], fp[:], n_hits[:] = 0.0, 0.0, 0
                for d in range(found_in[k], found_in[k + 1]):
                    w = weights[r, image[d]]
                    if w == 0:
                        continue
                    hit, loose = matched[d, a], ignored[d, a]
                    if hit == 0 and loose == 0:
                        missed += w
                        continue
                    for t in range(n_thresholds):
                        if (loose >> t) & 1:
                            continue
                        if (hit >> t) & 1:
                            tp[t] += w
                            at_hit[t, n_hits[t]] = tp[t] / (missed + fp[t] + tp[t] + SPACING)
                            reached[t, n_hits[t]] = tp[t] / n_objects
                            n_hits[t] += 1
                        else:
                            fp[t] += w
                for t in range(n_thresholds):
                    n = n_hits[t]
                    for i in range(n - 1, 0, -1):
                        at_hit[t, i - 1] = max(at_hit[t, i - 1], at_hit[t, i])
                    i, total = 0, 0.0
                    for j in range(len(recalls)):
                        while i < n and reached[t, i] < recalls[j]:
                            i += 1
                        if i == n:
                            break
                        total += at_hit[t, i]
                    out[r, k, a, t] = total / len(recalls)

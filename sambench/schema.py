"""Columns of what is stored: rows of each task, and metric rows of every task. Names say units and order."""

from __future__ import annotations

from typing import Any

# One row per object and reported click count. Lists named by candidate have one entry per candidate mask, in the model's order.
PROMPTED_COLUMNS: dict[str, str] = {
    "cell_id": "string",
    "dataset": "string",
    "image_id": "string",
    "cluster_id": "string",
    "object_id": "string",
    "category": "string",
    "prompt": "string",  # center, random, recorded (by people), box
    "k": "int32",  # clicks placed so far; 0 for a box
    "height": "int32",
    "width": "int32",
    "area_px": "int64",
    "box_xyxy": "list<int32>",  # ground truth, inclusive
    "clicks_xy": "list<int32>",  # x0, y0, x1, y1, ...; shorter than 2k after a perfect prediction
    "clicks_label": "list<int8>",
    "n_candidates": "int32",
    "ious": "list<double>",
    "scores": "list<double>",
    "boundary_ious_2pct": "list<double>",
    "boundary_ious_1pct": "list<double>",
    "top_index": "int32",
    "iou_top": "double",
    "iou_oracle": "double",
    "encode_ms": "float",
    "decode_ms": "float",  # this object's share of its batch, this round
    "attributes": "map<string,string>",
    "mask_rles": "list<binary>",  # COCO compressed counts of [height, width], by candidate
    "status": "string",  # ok; or failed: the image's only row, everything else of the object null
    "error": "string",
    "shard": "int32",
}

# One row per image and threshold: pixel counts, from which every score of a set is made.
EDGE_COLUMNS: dict[str, str] = {
    "cell_id": "string",
    "dataset": "string",
    "image_id": "string",
    "cluster_id": "string",
    "height": "int32",
    "width": "int32",
    "t": "double",  # threshold, ascending; of a family of T binary maps, the T evenly spaced values
    "cnt_r": "int64",  # annotated pixels matched, over annotators
    "sum_r": "int64",  # annotated pixels, over annotators
    "cnt_p": "int64",  # predicted pixels that any annotator's match
    "sum_p": "int64",  # predicted pixels, thinned
    "n_annotators": "int32",
    "max_dist": "double",  # tolerance, as a share of the image's diagonal
    "n_masks": "int32",  # of a segmenter: masks that the map is made of, after suppression; null for a detector
    "encode_ms": "float",
    "edge_ms": "float",  # the map: a detector's whole work, a segmenter's after encoding
    "score_ms": "float",
    "edge_map": "binary",  # the map as .npy; on the first row of its image alone
    "status": "string",  # ok; or failed: the image's only row
    "error": "string",
    "shard": "int32",
}

# Two kinds of row. `proposal`: one mask of an image. `object`: one annotated mask, and by reference set (each matched by itself)
# and IoU threshold the rank of the proposal that found it, -1 for none; null where the object is not in the set.
PROPOSAL_COLUMNS: dict[str, str] = {
    "cell_id": "string",
    "dataset": "string",
    "image_id": "string",
    "cluster_id": "string",
    "kind": "string",  # proposal or object; null for a failed image
    "height": "int32",
    "width": "int32",
    "area_px": "int64",
    "rank": "int32",  # proposal: place by falling score, from 0
    "score": "double",  # proposal: what it is ranked by
    "predicted_iou": "double",  # proposal of a segmenter: the model's own estimate
    "stability": "double",  # proposal of a segmenter; null where it was not measured
    "point_xy": "list<float>",  # proposal of a segmenter: the click
    "mask_rle": "binary",  # proposal: COCO compressed counts of [height, width]
    "object_id": "string",
    "category": "string",
    "area": "double",  # object: as the dataset counts it, which decides the sets by size
    "frequency": "string",  # object: f, c, r; null where the dataset has none
    "n_proposals": "int32",  # object: of its image
    "ranks_all": "list<int32>",  # object: by threshold .5, .55, ..., .95
    "ranks_small": "list<int32>",
    "ranks_medium": "list<int32>",
    "ranks_large": "list<int32>",
    "ranks_frequent": "list<int32>",
    "ranks_common": "list<int32>",
    "ranks_rare": "list<int32>",
    "attributes": "map<string,string>",  # object
    "encode_ms": "float",
    "decode_ms": "float",  # all prompts of the image
    "status": "string",  # ok; or failed: the image's only row
    "error": "string",
    "shard": "int32",
}

# Detections, the objects of the ground truth, and images: one schema, told apart by `kind`; what another kind has is null.
INSTANCE_COLUMNS: dict[str, str] = {
    "cell_id": "string",
    "dataset": "string",
    "image_id": "string",
    "cluster_id": "string",
    "kind": "string",  # detection, object (an annotation), image
    "index": "int32",  # of a detection: place in the results file; of an object: among its image's annotations
    "object_id": "string",  # object: the annotation's id
    "category_id": "int64",
    "category": "string",
    "frequency": "string",  # object, federated datasets alone: r, c, f, or empty
    "height": "int32",  # image
    "width": "int32",  # image
    "score": "double",  # detection: as the results file has it
    "box_xywh": "list<double>",  # detection: as it prompted; object: as the annotation has it
    "area": "double",  # detection: pixels of the mask; object: as the annotation has it
    "mask_sized_by": "double",  # detection: the area by which AP of masks and boundaries by size takes it (instances@2)
    "box_sized_by": "double",  # detection: that of AP of boxes
    "is_crowd": "int8",  # object
    "ious": "list<double>",  # detection: with each object of its image and category, in their order; of a crowd: share inside
    "boundary_ious": "list<double>",  # the same of boundaries, never above the mask's; where they were asked for
    "judged": "int8",  # detection: 0 where the image says nothing of its category (federated datasets)
    "exhaustive": "int8",  # detection: 0 where not every object of its category is annotated
    "iou_best": "double",  # object: the best IoU of a detection of its category, 0 without one; null for a crowd
    "n_candidates": "int32",  # detection: masks of the model's last answer
    "model_score": "double",  # detection: the model's own estimate of its mask
    "negative_ids": "list<int64>",  # image: categories that it has no object of
    "not_exhaustive_ids": "list<int64>",  # image
    "n_detections": "int32",  # image: in the results file
    "n_cut": "int32",  # image: beyond the number that counts, of lowest score
    "n_outside": "int32",  # image: boxes without a pixel of it
    "n_duplicates": "int32",  # image: detections that repeat another one
    "n_empty": "int32",  # image: masks without a pixel
    "encode_ms": "float",  # image
    "decode_ms": "float",  # detection: its share of its batch, all passes
    "mask_rle": "binary",  # detection and object: COCO compressed counts of [height, width]
    "status": "string",  # ok; or failed: the image's only row
    "error": "string",
    "shard": "int32",
}

# One row an image and phrase: what is summed for cgF1, of the annotator that counts, and the answers with all their IoUs.
CONCEPT_COLUMNS: dict[str, str] = {
    "cell_id": "string",
    "dataset": "string",
    "image_id": "string",
    "cluster_id": "string",
    "object_id": "string",  # the phrase's id within its image
    "category": "string",  # the phrase
    "subset": "string",  # part or domain of the dataset; empty where it has none
    "prompt": "string",  # what was asked with: phrase, exemplar, both
    "height": "int32",
    "width": "int32",
    "area_px": "int64",  # annotated pixels, over instances and annotators
    "n_annotators": "int32",
    "exhaustive": "int8",  # 1 where all annotators drew every instance; only such pairs count for cgF1
    "annotator": "int32",  # which one counts, from 0
    "n_truth": "int32",  # instances of that annotator
    "n_found": "int32",  # masks that count: of a score of at least the threshold
    "hits": "list<int32>",  # matched instances by IoU threshold .5, .55, ..., .95
    "scores": "list<double>",  # of all masks of the answer, in the model's order
    "ious": "list<double>",  # of all of them with every instance of that annotator, row by row [n_answers x n_truth]
    "presence": "double",  # the model's own probability that the concept is there; null where it gives none
    # Mean over instances of the best IoU of a mask that counts, of the annotator of whom it is highest; null where none drew any.
    "iou_best": "double",
    "human_truth": "list<int32>",  # by annotator, of several: instances of the one of the others that counts
    "human_found": "list<int32>",  # by annotator: instances
    "human_hits": "list<int32>",  # by annotator and IoU threshold, row by row
    "encode_ms": "float",
    "decode_ms": "float",  # its share of its batch
    "attributes": "map<string,string>",
    "found_rles": "list<binary>",  # COCO compressed counts of [height, width], of all masks of the answer
    "status": "string",  # ok; or failed: the image's only row
    "error": "string",
    "shard": "int32",
}

METRIC_COLUMNS: tuple[str, ...] = (
    "cell_id", "task", "protocol", "model", "dataset", "dataset_variant", "subset", "subset_digest", "metric", "variant", "prompt",
    "k", "max_dets", "threshold", "group_by", "group", "value", "unit", "aggregate", "n_images", "n_objects", "n_clusters",
    "n_candidates", "n_failed", "ci_low", "ci_high", "ci_level", "ci_method", "partial", "higher_is_better", "source_kind",
)  # fmt: skip


def arrow_schema(columns: dict[str, str]) -> Any:
    """The pyarrow schema of a table of `columns` (name -> type as written above)."""
    import pyarrow as pa

    scalar = {
        "string": pa.string(), "int8": pa.int8(), "int32": pa.int32(), "int64": pa.int64(), "float": pa.float32(),
        "double": pa.float64(), "binary": pa.binary(),
    }  # fmt: skip

    def parse(text: str) -> Any:
        if text.startswith("list<"):
            return pa.list_(scalar[text[5:-1]])
        if text.startswith("map<"):
            key, value = text[4:-1].split(",")
            return pa.map_(scalar[key], scalar[value])
        return scalar[text]

    return pa.schema([(name, parse(kind)) for name, kind in columns.items()])

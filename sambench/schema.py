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
    "prompt": "string",  # center, random, box
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

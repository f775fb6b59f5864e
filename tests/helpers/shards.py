"""A store of shards with two columns, for tests of what is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sambench.store.shards import ImageState, ShardStore

COLUMNS = {"image_id": "string", "k": "int32", "ious": "list<double>", "attributes": "map<string,string>", "shard": "int32"}


def store(tmp_path: Path, n: int = 5, size: int = 2) -> ShardStore:
    (tmp_path / "shards").mkdir(exist_ok=True)
    return ShardStore(tmp_path, [f"i{j}" for j in range(n)], size, COLUMNS)


def row(image_id: str, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "k": 1, "ious": [0.25, 1 / 3], "attributes": {"a": "b"}, **more}


def ok(n: int = 1) -> ImageState:
    return ImageState("ok", n_objects=n)

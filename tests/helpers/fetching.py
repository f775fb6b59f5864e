"""Downloads from the local server of tests."""

from __future__ import annotations

from pathlib import Path

from sambench.getting import weights as fetch
from tests.helpers.server import BODY, SHA, Server


def get(server: Server, dest: Path, **changes: object) -> Path:
    wanted: dict[str, object] = {"sha256": SHA, "n_bytes": len(BODY), **changes}
    return fetch.download(server.url, dest, **wanted)  # type: ignore[arg-type]


def left(dest: Path) -> list[str]:
    return sorted(p.name for p in dest.parent.iterdir())

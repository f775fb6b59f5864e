"""A local server for the tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sambench.getting import part_file, transfer
from tests.helpers.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    with serving(lambda request: state.answer(request)) as url:  # a test may give it another answer
        state.url = f"{url}/weights.pth"
        yield state


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting between tries; the pauses asked for."""
    asked: list[float] = []
    monkeypatch.setattr(transfer, "sleep", asked.append)
    monkeypatch.setattr(part_file, "POLL_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return asked

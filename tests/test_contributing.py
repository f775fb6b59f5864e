"""What CONTRIBUTING says of the layers is what is checked."""

from __future__ import annotations

import tomllib

from tests.helpers import ROOT


def test_the_layers_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    assert "```\n" + "\n".join(layers) + "\n```" in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_room_has_a_layer_and_a_line() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = {p.stem for p in (ROOT / "sambench").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    for room in rooms - {"__init__", "__main__", "_shared"}:
        assert f"`{room}`" in text, room

"""An installed package that brings sambench a module by an entry point, made by a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT


def install(site: Path, group: str, name: str, module: str, code: str, patch: pytest.MonkeyPatch) -> None:
    """Write a package of one module into the folder `site`, which `sys.path` and PYTHONPATH then have.

    group, name: of its entry point, whose value is the module. code: of the module.
    """
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n", encoding="utf-8")
    (site / f"{module}.py").write_text(code, encoding="utf-8")
    patch.syspath_prepend(site)
    patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    patch.delitem(sys.modules, module, raising=False)

"""Flags that mean the same in several commands."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output (keys: docs/running-at-scale.md).")]

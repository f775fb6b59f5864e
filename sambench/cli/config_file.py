"""`--config FILE`: flags in a TOML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer


def read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Put a TOML file's values below flags and environment; click's default_map has just that place."""
    if path is None:
        return None
    from sambench.errors import UsageError, unknown_name
    from sambench.values import short, toml_file

    values = toml_file(path, "a configuration file", UsageError)
    flags = {o.removeprefix("--"): p for p in ctx.command.params for o in p.opts if o.startswith("--")}
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name not in flags or name in ("config", "help"):
            raise unknown_name("configuration key", key, [f for f in flags if f not in ("config", "help")], where=path)
        if name == "option" and isinstance(value, dict):
            value = [f"{k}={_as_toml(v)}" for k, v in value.items()]
        listed = value if isinstance(value, list) else [value]
        if any(isinstance(v, dict | list) for v in listed):
            expected = "a text, a number, true or false, or a list of them"
            raise UsageError("a configuration value does not fit", where=f"{path}, {key}", expected=expected, found=short(value))
        if flags[name].multiple:
            value = [str(v) for v in listed]
        elif isinstance(value, list):
            value = ",".join(str(v) for v in value)
        defaults[flags[name].name or name] = value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _as_toml(value: Any) -> str:
    """A value as `-M` reads it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    return json.dumps(value)

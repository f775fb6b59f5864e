"""Old spellings of flags: taken as before, and shown nowhere."""

from __future__ import annotations

from typing import Any

from sambench.cli import variables

_READING: dict[str, tuple[str, ...]] = {"--runs": ("--out", "-o")}  # of commands that write no files
# The old ones by command and flag.
OLD: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("status",): _READING,
    ("table",): _READING,
    ("compare",): _READING,
    ("rescore",): _READING,
    ("show", "run"): _READING,
    ("plot",): {"--out": ("--to",)},
    ("gallery",): {"--runs": ("--results",)},
    ("results", "export"): {"--out": ("--to",)},
    ("reproduce",): {"--results": ("--out", "-o")},
    ("bench",): {"--out": ("--save",)},
    ("probe",): {"--limit": ("--images",)},
    ("text",): {"--limit": ("--images",)},
    ("data", "preview"): {"--out": ("--output",)},
    ("new", "model"): {"--out": ("--to",)},
    ("new", "dataset"): {"--out": ("--to",)},
}


def give(root: Any) -> None:
    """Every flag takes its old spellings, and so do their variables."""
    for path, option in variables.flags_of(root):
        old = next((old for new, old in OLD.get(path, {}).items() if new in option.opts), ())
        if old:
            option.get_help_record = _Shown(option, tuple(option.opts), option.get_help_record)
            option.opts = [*option.opts, *old]
            option.envvar = [*option.envvar, *(variables.named_for(*path, flag) for flag in old if flag.startswith("--"))]


class _Shown:
    """What `--help` says of a flag: its spelling of today."""

    def __init__(self, option: Any, opts: tuple[str, ...], plain: Any) -> None:
        self.option, self.opts, self.plain = option, opts, plain

    def __call__(self, ctx: Any) -> Any:
        every = self.option.opts
        self.option.opts = list(self.opts)
        try:
            return self.plain(ctx)
        finally:
            self.option.opts = every

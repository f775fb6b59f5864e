"""Settings of the point task, and those of its number-of-clicks runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from sambench.errors import UsageError, unknown_name
from sambench.tasks.command import Command, check_choices, setting

PAPER_CLICKS = (1, 2, 3, 5, 9)
NOC_TARGETS = (0.80, 0.85, 0.90, 0.95)
NOC_CLICKS = 20
MAX_CLICKS = 1000  # an object takes a pass of the decoder for each
FILE = "file:"  # --prompt file:CLICKS.csv
RECORDED = "recorded"  # the prompt of its rows


@dataclass(frozen=True)
class PointSettings:
    """clicks: counts at which rows are written, ascending.

    until_iou: an object is done once its IoU reaches it (the field's NoC runs). noc: targets of "number of clicks"; needs
    every count up to max(clicks). seed: of `prompt="random"` alone.
    mask_feedback: the next round is given the previous mask's state (a choice: docs/protocol.md).
    prompt: center, random, or `file:` and the path of recorded clicks (`loaders.recorded_clicks`), with their hash in
    prompt_sha256, "" where nobody has read them yet (`PointTask.of` does). The hash is identity, the place is not. beyond: what
    follows an object's last recorded click where more are asked for; `refuse` is an error before anything runs.
    """

    prompt: str = setting("center", "First click: center or random; or file:CLICKS.csv, clicks that people made.")
    clicks: tuple[int, ...] = setting(PAPER_CLICKS, "Click counts to report.", called="click counts")
    until_iou: float | None = setting(None, flag=False)
    noc: tuple[float, ...] = setting((), flag=False)
    seed: int = setting(0, "Of the random first click.", least=0)
    mask_feedback: bool = setting(True, "Give the model its previous mask.")
    prompt_sha256: str = setting("", flag=False)
    beyond: Literal["refuse", "simulate"] = setting("refuse", "After the last of an object's recorded clicks: refuse, or simulate.")

    def __post_init__(self) -> None:
        if self.prompt not in ("center", "random") and not (isinstance(self.prompt, str) and self.prompt.startswith(FILE)):
            raise unknown_name("first click", str(self.prompt), ["center", "random", f"{FILE}CLICKS.csv"], where="--prompt")
        if self.prompt == FILE:
            raise UsageError("no file is named", where="--prompt", expected=f"{FILE}CLICKS.csv", found=self.prompt)
        check_choices(self)
        if self.beyond != "refuse" and not self.recorded:
            expected, found = f"--prompt {FILE}CLICKS.csv next to it", f"--prompt {self.prompt}"
            raise UsageError("--beyond is only for recorded clicks", where="--beyond", expected=expected, found=found)
        where = "--clicks"
        whole = isinstance(self.clicks, tuple | list) and all(type(c) is int for c in self.clicks)
        if not whole or not self.clicks or min(self.clicks) < 1 or list(self.clicks) != sorted(set(self.clicks)):
            raise UsageError("click counts do not fit", where=where, expected="ascending numbers from 1 on", found=self.clicks)
        if max(self.clicks) > MAX_CLICKS:
            raise UsageError("too many clicks", where=where, expected=f"{MAX_CLICKS} at most", found=max(self.clicks))
        if self.seed < 0:
            raise UsageError("a seed does not fit", where="--seed", expected="a number from 0 on", found=self.seed)
        if self.until_iou is not None and not 0 < self.until_iou <= 1:
            raise UsageError("an IoU to stop at does not fit", where="--clicks-until", expected="0 < x <= 1", found=self.until_iou)
        if self.noc and self.clicks != tuple(range(1, max(self.clicks) + 1)):
            raise UsageError("NoC needs a row at every click", where=where, expected="1,2,3,... without gaps", found=self.clicks)

    @property
    def recorded(self) -> Path | None:
        """The file of clicks that people made, where they prompt."""
        return Path(self.prompt.removeprefix(FILE)) if self.prompt.startswith(FILE) else None


def noc_settings(settings: PointSettings, *, until: float | None = None, max_clicks: int = NOC_CLICKS) -> PointSettings:
    """Settings of a number-of-clicks run: a row at every click up to `max_clicks`, targets up to `until` (all four without it)."""
    if not 1 <= max_clicks <= MAX_CLICKS:
        raise UsageError("--max-clicks does not fit", expected=f"a number from 1 to {MAX_CLICKS}", found=max_clicks)
    targets = tuple(t for t in NOC_TARGETS if until is None or t <= until) or ((until,) if until else ())
    return replace(settings, clicks=tuple(range(1, max_clicks + 1)), until_iou=until, noc=targets)


@dataclass(frozen=True)
class PointCommand(Command):
    """Simulated clicks: mIoU after 1, 2, 3, 5 and 9, the oracle at 1, boundary IoU, number of clicks."""

    order: ClassVar[tuple[str, ...]] = ("prompt", "clicks", "noc", "clicks_until", "max_clicks")

    noc: bool = setting(False, "Number of clicks to 80, 85, 90 and 95 % IoU, up to --max-clicks.", switch=True)
    clicks_until: float | None = setting(None, "NoC run that leaves an object at this IoU.", metavar="IOU")
    max_clicks: int = setting(NOC_CLICKS, "Most clicks of a NoC run.")

    def settings(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        settings = PointSettings(**given)
        if self.noc or self.clicks_until is not None:
            settings = noc_settings(settings, until=self.clicks_until, max_clicks=self.max_clicks)
        return asdict(settings)


SETTINGS, COMMAND = PointSettings, PointCommand

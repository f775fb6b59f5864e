"""Settings of the box task."""

from __future__ import annotations

from dataclasses import dataclass

from sambench.tasks.command import Command, setting


@dataclass(frozen=True)
class BoxSettings:
    """multimask: all candidates of the model, or its single output (choice)."""

    multimask: bool = setting(False, "Ask for all candidates, not for the single output.")


@dataclass(frozen=True)
class BoxCommand(Command):
    """Ground-truth boxes: mIoU and boundary mIoU at 2 % and 1 % of the diagonal."""


SETTINGS, COMMAND = BoxSettings, BoxCommand

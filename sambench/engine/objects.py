"""Model objects of this process (`sambench.evaluate`): in evaluation mode and without gradients while they run, then as before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from sambench import tasks
from sambench.engine import run as engine
from sambench.engine.events import OnEvent, unheard
from sambench.engine.request import Outcome, Request
from sambench.sources.describe import describe_object
from sambench.sources.evaluation_mode import evaluation_mode
from sambench.sources.fingerprint import settle


def evaluate_object(
    request: Request, model: Any, name: str, on_event: OnEvent = unheard
) -> Outcome:
    """Plan, run, and put the model back. name: what it is called in tables and folders; it identifies nothing.

    on_event: receives the events of the run.

    Raises ModelError where the object is no model, UsageError as `Request.check` does, and what a run raises.
    """
    request.check()
    request = replace(request, settings=tasks.completed(request.task, request.settings, request.datasets))
    found = describe_object(model, probe=tasks.build(request.task, request.settings).wants_logits)
    planned = engine.plan_object(request, name, found)
    try:
        with evaluation_mode(found.walk.modules):
            return engine.execute_in_process(planned, model, on_event)
    finally:
        with suppress(Exception):  # an unchanged model would not be known again; nothing else
            settle(model, found.walk)

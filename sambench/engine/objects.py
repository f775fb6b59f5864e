"""Model objects of this process (`sambench.evaluate`): in evaluation mode and without gradients while they run, then as before."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sambench import tasks
from sambench.engine import run as engine
from sambench.engine.describe import describe_object
from sambench.engine.fingerprint import settle
from sambench.engine.plan import wants_logits


def evaluate_object(request: engine.Request, model: Any, name: str) -> engine.Outcome:
    """Plan, run, and put the model back. name: what it is called in tables and folders; it identifies nothing.

    Raises ModelError where the object is no model, and what a run raises.
    """
    found = describe_object(model, probe=wants_logits(tasks.build(request.task, request.settings)))
    planned = engine.plan_object(request, model, name, found)
    try:
        with evaluation_mode(found.walk.modules):
            return engine.execute_in_process(planned, model)
    finally:
        with suppress(Exception):  # an unchanged model would not be known again; nothing else
            settle(model, found.walk)


@contextmanager
def evaluation_mode(modules: Sequence[Any]) -> Iterator[None]:
    """While it holds the torch modules are in evaluation mode and no gradients are recorded.

    Then every submodule has the training flag that it had, also after an exception. Modules with a `train` of their own are
    switched by it, since some change more than the flag.
    """
    torch = sys.modules.get("torch")
    if torch is None or not modules:
        yield
        return
    flags = {id(m): (m, m.training) for root in modules for m in root.modules()}
    inner = {id(m) for root in modules for m in root.modules() if m is not root}
    roots = [m for m in modules if id(m) not in inner]
    with torch.no_grad():
        try:
            for root in roots:
                root.eval()
            yield
        finally:
            for root in roots:
                if flags[id(root)][1]:
                    with suppress(Exception):  # the flags are put back in any case
                        root.train()
            for module, training in flags.values():
                module.training = training

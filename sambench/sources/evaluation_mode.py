"""Torch modules in evaluation mode and without gradients for the time being."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def evaluation_mode(modules: Sequence[Any]) -> Iterator[None]:
    """While it holds the torch modules are in evaluation mode and no gradients are recorded.

    Then every submodule has the training flag that it had, also after an exception. Modules with a `train` of their own are
    switched by it, since some change more than the flag.
    """
    torch = sys.modules.get("torch")
    if torch is None:
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

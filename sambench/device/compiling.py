"""torch.compile of a network whose inputs have one shape: small kernels are fused, at the price of a minute before the first image.

It changes last bits, as another order of sums does, so it is a model's option and part of its identity; and it is off unless asked
for. Where torch can (`torch._inductor.config.deterministic`, 2.9) its kernels are chosen by rule and not by how long they took, so
that every process compiles the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from sambench.errors import ModelError, message_of


def compile_fixed(module: nn.Module) -> None:
    """Compile the module's forward when it is first called; it keeps its names and weights."""
    import torch._inductor.config as inductor

    options: dict[str, Any] | None = {"deterministic": True} if hasattr(inductor, "deterministic") else None
    module.compile(fullgraph=True, dynamic=False, options=options)


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Around a call of what is compiled. Raises ModelError, naming the model, where that fails: for want of a C++ compiler, say."""
    import torch._dynamo.exc as dynamo

    try:
        yield
    except dynamo.TorchDynamoException as e:
        raise ModelError(
            f"{name} cannot be compiled on this machine",
            where="-M compiled=true",
            expected="what torch.compile needs: a C++ compiler, and for a GPU the package triton",
            found=message_of(e).splitlines()[0],
            remedy="leave the option out, or install what is missing",
        ) from e


"""What a precision is, for the whole process in which a model runs.

| word | meaning |
|---|---|
| `fp32` | IEEE float32 everywhere: no TF32 in cuDNN's convolutions (torch's default has it) nor in matrix products, and no |
|        | bfloat16 in those of a CPU (`torch.set_float32_matmul_precision`), whatever the process had set before |
| `tf32` | float32 of which GPUs round the factors of products to 10 bits of mantissa; of NVIDIA GPUs from Ampere on |
| `bf16` | bfloat16 where the model says so (SAM: the image encoder); what is left in float32 is as in `fp32` |

`tf32` asks nothing of a model: its numbers are float32, and how products are taken is the process's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sambench.errors import UsageError

WORDS = ("fp32", "tf32", "bf16")
# cuBLAS takes another algorithm in another workspace; in this one its sums have one order (its manual, "Results reproducibility").
CUBLAS_WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def check_precision(word: str, where: str = "--precision") -> None:
    """Raises UsageError unless it is one of WORDS."""
    if word not in WORDS:
        raise UsageError("an unknown precision", where=where, expected="fp32, tf32 or bf16", found=repr(word))


def check_precision_of(precision: str, device_kind: str, where: str = "--precision") -> None:
    """Raises UsageError for `tf32` on what is no GPU, where it would be fp32 under another name."""
    if precision == "tf32" and device_kind != "cuda":
        raise UsageError(
            "tf32 is a precision of GPUs",
            where=where,
            expected="fp32 or bf16 on this device",
            found=f"tf32 on {device_kind}",
            remedy="leave --precision out, or name a GPU: --devices cuda",
        )


def asked_of_model(precision: str) -> str:
    """The precision that a model's factory is given."""
    return "fp32" if precision == "tf32" else precision


@contextmanager
def computing(precision: str, device_kind: str = "cpu") -> Iterator[None]:
    """Within it torch, where it is loaded, computes in that precision, and on GPUs deterministically; then as before.

    precision: of an identity: any word but `tf32` leaves float32 alone. Load torch, or build the model, before.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    knobs = _knobs(torch, tf32=precision == "tf32", cuda=device_kind == "cuda")
    before = [(read(), write, value) for read, write, value in knobs]
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for found, write, value in before:
            if found is not None:
                write(value)
        if device_kind == "cuda":
            for name, setting in CUBLAS_WORKSPACE.items():  # read by cuBLAS when it is first used
                os.environ.setdefault(name, setting)
            # An operation of the model's that has no deterministic form warns, in the worker's log.
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        for found, write, _ in before:
            if found is not None:
                write(found)


Knob = tuple[Callable[[], Any], Callable[[Any], None], Any]


def _knobs(torch: Any, *, tf32: bool, cuda: bool) -> list[Knob]:
    """(read, write, value) of all that decides, in the order of writing.

    The older switches first: they set the newer ones too, where there are any, and then these say the same in their own words. In
    a process that set the newer ones alone the older cannot be read (None), and are left alone: they could not be put back.
    """
    backends, word = torch.backends, "tf32" if tf32 else "ieee"
    knobs = [
        _attribute(backends.cuda.matmul, "allow_tf32", tf32),
        _attribute(backends.cudnn, "allow_tf32", tf32),
        _knob(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "high" if tf32 else "highest"),
    ]
    if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.9
        of_cuda = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
        knobs += [_attribute(b, "fp32_precision", word) for b in of_cuda]
        of_cpu = [getattr(backends.mkldnn, name, None) for name in ("matmul", "conv", "rnn")]
        knobs += [_attribute(b, "fp32_precision", "ieee") for b in of_cpu if b is not None]
    if cuda:
        knobs += [
            _attribute(backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
            _attribute(backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
            _attribute(backends.cudnn, "deterministic", True),
            _attribute(backends.cudnn, "benchmark", False),
            # Filling what is empty guards against reading it, and is no part of a result.
            _attribute(torch.utils.deterministic, "fill_uninitialized_memory", False),
        ]
    return knobs


def _attribute(owner: Any, name: str, value: Any) -> Knob:
    return _knob(lambda: getattr(owner, name), lambda v: setattr(owner, name, v), value)


def _knob(read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> Knob:
    def reading() -> Any:
        with suppress(RuntimeError, AttributeError):
            return read()
        return None

    return reading, write, value

"""What can be said of a model object: the part of a run's identity that only the built object knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sambench.engine.models import PYTHON, ModelSpec
from sambench.errors import ModelError


def describe(segmenter: Any, spec: ModelSpec) -> dict[str, Any]:
    """identity, device, device_kind, precision, max_batch and what it gives of a built model, as plain values."""
    identity = object_identity(segmenter)
    if spec.name.startswith(PYTHON):
        from sambench.models.external import source_sha256

        identity = {**identity, "source_sha256": source_sha256(spec.name)}
    kind = str(getattr(segmenter, "device_kind", "cpu"))
    return {
        "identity": identity,
        "device": spec.device if spec.device != "auto" else kind,
        "device_kind": kind,
        "precision": str(getattr(segmenter, "precision", spec.precision)),
        "max_batch": int(getattr(segmenter, "max_batch", 64)),
        "gives": "edges" if hasattr(segmenter, "edges") and not hasattr(segmenter, "decode") else "masks",
    }


def object_identity(segmenter: Any) -> dict[str, Any]:
    """The object's own `identity` mapping, and a hash of the weights of every torch module that it is or holds directly."""
    from sambench.provenance import canonical_json

    own = getattr(segmenter, "identity", {})
    own = own() if callable(own) else own
    if not isinstance(own, Mapping):
        raise ModelError("a model's `identity` is not a mapping", expected="a dict of plain values", found=type(own).__name__)
    out = dict(own)
    try:
        canonical_json(out)
    except (TypeError, ValueError) as e:
        raise ModelError("a model's `identity` holds a value that JSON has no form for", found=str(e)) from e
    weights = _weights_sha256(segmenter)
    if weights:
        out["state_sha256"] = weights
    return out


def _weights_sha256(segmenter: Any) -> str | None:
    import sys

    torch = sys.modules.get("torch")
    if torch is None:
        return None
    held = [("", segmenter), *sorted(vars(segmenter).items())] if hasattr(segmenter, "__dict__") else [("", segmenter)]
    modules = [(name, value) for name, value in held if isinstance(value, torch.nn.Module)]
    if not modules:
        return None
    h = hashlib.sha256()
    for name, module in modules:
        for key, value in module.state_dict().items():
            if isinstance(value, torch.Tensor):
                h.update(f"{name}.{key}|{value.dtype}|{tuple(value.shape)}\n".encode())
                h.update(
                    value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
                )
    return h.hexdigest()

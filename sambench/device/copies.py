"""Arrays of the host brought to a device without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_device(values: npt.NDArray[Any], device: torch.device | str) -> Tensor:
    """The array as a tensor there (on the CPU: of the same memory, where that may be written to).

    A plain copy to a GPU, and `torch.tensor(..., device=...)`, wait until the device has done all that it was asked before. This
    one does not. The array may go afterwards: CUDA has taken memory that is not pinned by the time the call returns.
    """
    given = np.ascontiguousarray(values)
    return torch.from_numpy(given if given.flags.writeable else given.copy()).to(device, non_blocking=True)

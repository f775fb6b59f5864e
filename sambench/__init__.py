"""sambench: zero-shot evaluation of promptable segmentation."""

from __future__ import annotations

__version__ = "0.1.0"

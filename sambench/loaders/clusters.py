"""Which images belong together: the option `cluster` of readers, a regular expression whose first group names the cluster."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _checked(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as e:
        raise ValueError(f"a regular expression: {e}") from e
    if pattern and not groups:
        raise ValueError("a regular expression with a group in brackets, as in ([^/]+)/, which names the cluster")
    return pattern


Cluster = Annotated[str, AfterValidator(_checked)]  # '' for images that stand alone


def cluster_of(pattern: Cluster, text: str) -> str:
    """First group of a regular expression searched in the text, '' (the image stands alone) if it does not match or is ''."""
    match = re.search(pattern, text) if pattern else None
    return (match.group(1) or "") if match else ""

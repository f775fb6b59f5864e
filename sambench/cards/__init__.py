"""Cards: one TOML file per dataset, suite and model. Facts as data, validated, and found without a central list.

Cards are looked for in the packaged folders, in `$SAMBENCH_HOME/cards/datasets` and `.../baselines`, in the folders that
installed packages name under the entry-point groups `sambench.datasets` and `sambench.models` (each entry point is a
function returning a folder), and at explicit paths ending in `.toml`. Two cards of one id are an error, never a shadow.
"""

from __future__ import annotations

from sambench.cards.citations import Citation, Work
from sambench.cards.discovery import (
    absolute,
    boxes_cards,
    dataset_card,
    dataset_cards,
    files_in,
    forget,
    is_path,
    model_card,
    model_cards,
    read_card,
    split_variant,
    suite_card,
    suite_cards,
)
from sambench.cards.entries import entry_identity, load_entry
from sambench.cards.schema import (
    Access,
    BoxesCard,
    Card,
    Counts,
    DatasetCard,
    EntryPoint,
    Id,
    ModelCard,
    PaperFacts,
    Published,
    Quantity,
    RemoteFile,
    SuiteCard,
    Variant,
    Weights,
    check_id,
    holding,
)

__all__ = [
    "Access",
    "BoxesCard",
    "Card",
    "Citation",
    "Counts",
    "DatasetCard",
    "EntryPoint",
    "Id",
    "ModelCard",
    "PaperFacts",
    "Published",
    "Quantity",
    "RemoteFile",
    "SuiteCard",
    "Variant",
    "Weights",
    "Work",
    "absolute",
    "boxes_cards",
    "check_id",
    "dataset_card",
    "dataset_cards",
    "entry_identity",
    "files_in",
    "forget",
    "holding",
    "is_path",
    "load_entry",
    "model_card",
    "model_cards",
    "read_card",
    "split_variant",
    "suite_card",
    "suite_cards",
]

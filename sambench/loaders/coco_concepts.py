"""Annotations in COCO's form as concepts: a category's name is the phrase, its annotations in the image are the instances.

Which phrases an image is asked for: with `exhaustive`, all categories of the file, for each image was annotated for all of them
(COCO); with `federated`, those of which it has an annotation and those that its record lists (LVIS): `neg_category_ids`, of which
it has none, and `not_exhaustive_category_ids`, of which it may have more than are annotated. Of others nothing is known there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptTruth
from sambench.errors import DataError, unknown_name
from sambench.loaders.coco_file import FEDERATED
from sambench.types import Annotated

ConceptRule = Literal["", "exhaustive", "federated"]
RULES: Final = ("exhaustive", "federated")
_FREQUENCY: Final[Mapping[str, str]] = {"r": "rare", "c": "common", "f": "frequent"}


def check_rule(rule: Any, dataset: str) -> None:
    """Raises UsageError where the option `concepts` is none."""
    if rule not in ("", *RULES):
        raise unknown_name(f"value of the option concepts of dataset {dataset}", str(rule), RULES)


def phrase_of(name: str) -> str:
    """A category's name as a phrase: LVIS writes underscores for spaces ("aerosol_can", "bow_(weapon)"); no more is changed."""
    return " ".join(name.replace("_", " ").split()) or name


def concepts_of(truth: Annotated, rule: ConceptRule, frequency: Mapping[int, str], where: str) -> tuple[ConceptTruth, ...]:
    """The phrases of an image with their instances, by ascending category id, which is the concept_id.

    A crowd stands for instances that nobody told apart, an annotation without pixels for one that has no mask: their category is
    not instance-exhaustive there, nor is one of `not_exhaustive_ids`. frequency: LVIS's "r", "c" or "f" by category id, which are
    subsets. where: of the image, for errors. Raises DataError where the rule is `federated` and the image has no such lists.
    """
    drawn: dict[int, list[ConceptInstance]] = {}
    loose = set(truth.not_exhaustive_ids or ()) if rule == "federated" else set()
    for a in truth.objects:
        instances = drawn.setdefault(a.category_id, [])
        if a.is_crowd or not a.region.area:
            loose.add(a.category_id)
        else:
            instances.append(ConceptInstance.of(a.region))
    if rule == "federated" and truth.negative_ids is None:
        raise _not_federated(where)
    return tuple(
        ConceptTruth(
            str(c),
            phrase_of(truth.categories[c]),
            (ConceptAnnotation(tuple(drawn.get(c, ())), c not in loose),),
            _FREQUENCY.get(frequency.get(c, ""), ""),
        )
        for c in asked_for(truth.categories, drawn, truth.negative_ids or (), truth.not_exhaustive_ids or (), rule)
    )


def asked_for(
    categories: Collection[int], annotated: Iterable[int], negative: Iterable[int], not_exhaustive: Iterable[int], rule: ConceptRule
) -> list[int]:
    """Ids of the categories that an image is asked for, ascending. categories: all that count. annotated: of its annotations;
    negative, not_exhaustive: of its record's lists."""
    wanted = categories if rule == "exhaustive" else {*annotated, *negative, *not_exhaustive}
    return sorted(c for c in wanted if c in categories)


def _not_federated(where: str) -> DataError:
    return DataError(
        "an image does not say of which categories it has none",
        where=where,
        expected="lists " + " and ".join(FEDERATED),
        found="neither",
        remedy="where every category was looked for in every image: the option concepts = \"exhaustive\"",
    )

"""Annotations in COCO's form as concepts: a category's name is the phrase, its annotations in the image are the instances.

Which phrases an image is asked for: with `exhaustive`, all categories of the file, for each image was annotated for all of them
(COCO); with `federated`, those of which it has an annotation and those that its record lists (LVIS): `neg_category_ids`, of which
it has none, and `not_exhaustive_category_ids`, of which it may have more than are annotated. Of others nothing is known there.

Categories whose names make one phrase are asked for once, with the instances of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptTruth
from sambench.errors import DataError, unknown_name
from sambench.loaders.coco_file import FEDERATED
from sambench.notes import note
from sambench.types import Annotated

ConceptRule = Literal["", "exhaustive", "federated"]
RULES: Final = ("exhaustive", "federated")
_FREQUENCY: Final[Mapping[str, str]] = {"f": "frequent", "c": "common", "r": "rare"}  # the most frequent first


def check_rule(rule: Any, dataset: str) -> None:
    """Raises UsageError where the option `concepts` is none."""
    if rule not in ("", *RULES):
        raise unknown_name(f"value of the option concepts of dataset {dataset}", str(rule), RULES)


def phrase_of(name: str) -> str:
    """A category's name as a phrase: LVIS writes underscores for spaces ("aerosol_can", "bow_(weapon)"); no more is changed."""
    return " ".join(name.replace("_", " ").split()) or name


def concepts_of(truth: Annotated, rule: ConceptRule, frequency: Mapping[int, str], where: str) -> tuple[ConceptTruth, ...]:
    """The phrases of an image with their instances, by ascending category id, the lowest of which is the concept_id.

    A crowd stands for instances that nobody told apart, an annotation without pixels for one that has no mask: their phrase is
    not instance-exhaustive there, nor is one of `not_exhaustive_ids`, nor one of several categories of which, with `federated`,
    the image does not know all. frequency: LVIS's "r", "c" or "f" by category id, which are subsets; of several categories the
    most frequent. where: of the image, for errors. Raises DataError where the rule is `federated` and the image has no such lists.
    """
    drawn: dict[int, list[ConceptInstance]] = {}
    loose = set(truth.not_exhaustive_ids or ()) if rule == "federated" else set()
    for a in truth.objects:
        instances = drawn.setdefault(a.category_id, [])
        if a.is_crowd or not a.region.area:
            loose.add(a.category_id)
        else:
            instances.append(ConceptInstance.of(a.region))
    if rule == "federated":
        if truth.negative_ids is None:
            raise _not_federated(where)
        loose |= truth.categories.keys() - {*drawn, *truth.negative_ids, *loose}
    out = []
    for ids in asked_for(truth.categories, drawn, truth.negative_ids or (), truth.not_exhaustive_ids or (), rule):
        phrase = phrase_of(truth.categories[ids[0]])
        if len(ids) > 1:
            note(f"categories {', '.join(map(str, ids))} have one name: they are asked for once, as {phrase!r:.80}")
        every = tuple(i for c in ids for i in drawn.get(c, ()))
        often = {frequency.get(c, "") for c in ids}
        subset = next((name for letter, name in _FREQUENCY.items() if letter in often), "")
        out.append(ConceptTruth(str(ids[0]), phrase, (ConceptAnnotation(every, loose.isdisjoint(ids)),), subset))
    return tuple(out)


def asked_for(
    categories: Mapping[int, str],
    annotated: Iterable[int],
    negative: Iterable[int],
    not_exhaustive: Iterable[int],
    rule: ConceptRule,
) -> list[tuple[int, ...]]:
    """The phrases that an image is asked for, each as the ids of the categories that have it, ascending.

    categories: names of all that count, by id. annotated: ids of its annotations; negative, not_exhaustive: of its record's lists.
    """
    wanted = set(categories) if rule == "exhaustive" else {*annotated, *negative, *not_exhaustive}
    return [ids for ids in by_phrase(categories) if not wanted.isdisjoint(ids)]


def by_phrase(categories: Mapping[int, str]) -> tuple[tuple[int, ...], ...]:
    """Ids of the categories of each phrase, ascending. categories: names by id."""
    return _by_phrase(tuple(categories.items()))


@lru_cache(maxsize=8)
def _by_phrase(categories: tuple[tuple[int, str], ...]) -> tuple[tuple[int, ...], ...]:
    found: dict[str, list[int]] = {}
    for i, name in sorted(categories):
        found.setdefault(phrase_of(name), []).append(i)
    return tuple(map(tuple, found.values()))


def _not_federated(where: str) -> DataError:
    return DataError(
        "an image does not say of which categories it has none",
        where=where,
        expected="lists " + " and ".join(FEDERATED),
        found="neither",
        remedy="where every category was looked for in every image: the option concepts = \"exhaustive\"",
    )

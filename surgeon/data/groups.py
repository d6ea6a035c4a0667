"""Which images stay on one side of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from surgeon.catalogue.entry import find
from surgeon.catalogue.groupings import GROUPINGS
from surgeon.catalogue.sources import SOURCES
from surgeon.data.duplicates import join_pairs, near_pairs
from surgeon.data.looks import Facts, known_facts, look_at_images

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.sources.listing import Listing
    from surgeon.recipe.data_plan import DataPlan
    from surgeon.results.events import Progress


def group_keys(plan: DataPlan, of_source: Listing) -> Sequence[str | None]:
    """Returns what each image shares with the others of its group, as far as no image tells; None if it is by itself.

    Args:
        plan: Where they come from and what to group them by.
        of_source: The images as the source has them.

    Raises:
        SurgeonError: If the images have not what they are to be grouped by.
    """
    grouping, source = find("grouping", GROUPINGS, plan.split.group.name), find("source", SOURCES, plan.source.name)
    return grouping.keys(plan.split.group.parameters, source, plan.source.parameters, of_source)


def group_images(
    plan: DataPlan, listing: Listing, keys: Sequence[str | None], digests: Sequence[str], *, looks: bool
) -> Generator[Progress, None, tuple[tuple[str, ...], int]]:
    """Groups images as ``data.split.group`` says; copies of a file are of one group whatever it says.

    Args:
        plan: What to group them by.
        listing: The images.
        keys: What each shares with the others of its group, of ``group_keys``.
        digests: Of each image's bytes.
        looks: Whether images are decoded that were never looked at, if they are to be compared.

    Returns:
        For each image the name of its group, the least digest in it: neither the names of images nor their order
        matter. And how many different images were not compared.
    """
    first: dict[str, str] = {}
    pairs = [
        (first.setdefault(key, digest), digest) for digest, key in zip(digests, keys, strict=True) if key is not None
    ]
    uncompared = 0
    if find("grouping", GROUPINGS, plan.split.group.name).compares:
        facts = (yield from look_at_images(listing.images, digests)) if looks else known_facts(digests)
        uncompared = len(set(digests)) - len(facts)
        pairs += near_copies(facts)
    return name_groups(digests, pairs), uncompared


def name_groups(digests: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Returns the name of the group of each digest, which is the least digest in it.

    Args:
        digests: Of images, some of them perhaps equal.
        pairs: Of digests whose images are of one group.
    """
    names = sorted(set(digests))
    number_of = {digest: number for number, digest in enumerate(names)}
    numbers = np.array([(number_of[one], number_of[other]) for one, other in pairs], np.intp).reshape(-1, 2)
    for least, *others in join_pairs(numbers, len(names)):
        for number in others:
            names[number] = names[least]
    return tuple(names[number_of[digest]] for digest in digests)


def near_copies(facts: Mapping[str, Facts | str]) -> list[tuple[str, str]]:
    """Returns pairs of digests of images that show nearly the same picture, as ``near_pairs`` does.

    Args:
        facts: What a look at each told, by digest; text says why an image cannot be read.
    """
    prints = {digest: known.fingerprint for digest, known in sorted(facts.items()) if isinstance(known, Facts)}
    digests = list(prints)
    return [(digests[one], digests[other]) for one, other in near_pairs(list(prints.values()))]

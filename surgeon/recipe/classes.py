"""What becomes of a source's classes: other names, fewer of them, another order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from surgeon.errors import did_you_mean
from surgeon.text import first_few

if TYPE_CHECKING:
    from surgeon.catalogue.sources.listing import Listing
    from surgeon.recipe.data_plan import ClassesPlan
    from surgeon.recipe.text import ValuePath

_NAMED = 5


class ClassProblem(NamedTuple):
    """Something that cannot be done with the classes.

    Attributes:
        path: Of the value in ``data.classes``.
    """

    path: ValuePath
    message: str
    hint: str | None


def class_problems(plan: ClassesPlan, names: Collection[str]) -> Iterator[ClassProblem]:
    """Yields what cannot be done with the classes of a source.

    Args:
        plan: What is asked for.
        names: Those of the source.
    """
    rename, leave_out = plan.rename or {}, plan.leave_out or ()
    asked: list[tuple[ValuePath, str]] = [(("rename", name), name) for name in rename]
    asked += [(("leave_out", at), name) for at, name in enumerate(leave_out)]
    for path, name in asked:
        if name not in names:
            hint = did_you_mean(name, names) or f"expected {', '.join(first_few(sorted(names), _NAMED))}"
            yield ClassProblem(path, f"the source has no class {name!r}", hint)
        elif path[0] == "leave_out" and name in rename:
            yield ClassProblem(path, f"{name!r} is both renamed and left out", "do only one of the two")
        elif path[0] == "rename" and rename[name] in leave_out:
            yield ClassProblem(path, f"{rename[name]!r} is left out", "take another name, or do not leave it out")
    left = set(renamed_classes(plan, names))
    if len(left) < 2:
        kept = f"only {min(left)!r} is" if left else "no class is"
        yield ClassProblem((), f"{kept} left; expected two or more", None)
    yield from _order_problems(plan.order or (), left)


def _order_problems(order: Sequence[str], left: Collection[str]) -> Iterator[ClassProblem]:
    for at, name in enumerate(order):
        if name not in left:
            yield ClassProblem(("order", at), f"{name!r} is not one of the remaining classes", did_you_mean(name, left))
        elif name in order[:at]:
            yield ClassProblem(("order", at), f"{name!r} is listed twice", None)
    missing = sorted(set(left) - set(order))
    if order and missing:
        named = ", ".join(first_few(map(repr, missing), _NAMED))
        yield ClassProblem(
            ("order",), f"{named} {'is' if len(missing) == 1 else 'are'} missing", "name each class once"
        )


def renamed_classes(plan: ClassesPlan | None, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the classes that are left of a source's, in the order of the network's outputs."""
    if plan is None:
        return tuple(names)
    rename, leave_out = plan.rename or {}, set(plan.leave_out or ())
    left = {rename.get(name, name) for name in names if name not in leave_out}
    order = [name for name in plan.order or () if name in left]
    return (*order, *sorted(left - set(order)))


def relabelled(plan: ClassesPlan | None, listing: Listing) -> tuple[Listing, Sequence[int]]:
    """Returns the images of the classes that are left, under their new names.

    Args:
        plan: What is asked for, if anything is.
        listing: The images as their source has them.

    Returns:
        The listing, and the position in the one that was given of each of its images.
    """
    if plan is None:
        return listing, range(len(listing.images))
    rename, leave_out = plan.rename or {}, set(plan.leave_out or ())
    kept = [at for at, image in enumerate(listing.images) if image.label not in leave_out]
    images = (listing.images[at] for at in kept)
    labelled = tuple(replace(image, label=rename.get(image.label, image.label)) for image in images)
    return replace(listing, images=labelled, classes=renamed_classes(plan, listing.classes)), kept

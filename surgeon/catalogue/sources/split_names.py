"""How splits are called, by us and by others."""

from __future__ import annotations

import re

from surgeon.catalogue.entry import Schema

SPLITS = ("train", "validation", "test")
ARE_SPLITS: Schema = {
    "description": "`false` says that the folders are no splits, even where they look like some.",
    "type": "boolean",
}

_SET = r"(sets?|data|images|imgs|split)?"
_CALLED = {
    "train": re.compile(rf"(train(ing|val)?|trn|tr|learning){_SET}"),
    "validation": re.compile(rf"(val(id(at(e|ing|ion))?)?|dev(el(opment)?)?|eval(uation)?){_SET}"),
    "test": re.compile(rf"(test(s|ing)?|tst|ts|te|h[eo]ldout){_SET}"),
}
# Words that say nothing about which split it is.
_FILLERS = re.compile(
    r"a|the|my|sets?|data|dataset|images?|imgs?|photos?|pictures?|pics|splits?|subset|folder|files|samples|examples|part"
)


def split_called(name: str) -> str | None:
    """Returns the split that a folder or a cell means, such as ``train2017``, ``Testing`` or ``02 val-set``, or None.

    Case, digits, what stands between words and words such as ``images`` do not matter. Any other word does:
    ``test tube`` is not a split.
    """
    words = [word for word in _words(name) if not _FILLERS.fullmatch(word)]
    return _split_of("".join(words))


def splits_in(name: str) -> set[str]:
    """Returns the splits that single words of a name mean: that of ``seg_train`` is ``train``."""
    return {split for word in _words(name) if (split := _split_of(word))}


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.casefold())


def _split_of(word: str) -> str | None:
    return next((split for split, called in _CALLED.items() if called.fullmatch(word)), None)

"""Fonts of this machine, chosen by what they can write."""

from __future__ import annotations

from matplotlib.font_manager import findfont, fontManager, get_font

_OWN = "DejaVu Sans"  # which comes with matplotlib
_UNASSIGNED = 0x378  # a code point without a character


def families_for(text: str) -> list[str]:
    """Returns families of fonts that together write a text, as far as this machine can; matplotlib's own first."""
    families, missing = [_OWN], _lacking(findfont(_OWN), set(text))
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.weight != 400)):
        if not missing:
            break
        left = _lacking(entry.fname, missing)
        if left < missing:
            families.append(entry.name)
            missing = left
    return families


def _lacking(path: str, characters: set[str]) -> set[str]:
    """Returns the characters that a font does not have."""
    try:
        font = get_font(path)
    except Exception:  # whatever FreeType finds wrong with a file that lies on this machine
        return characters
    # Pictures of one size, as of emoji, matplotlib cannot set; who has what does not exist has nothing but boxes.
    if not font.scalable or font.get_char_index(_UNASSIGNED):
        return characters
    return {character for character in characters if not font.get_char_index(ord(character))}

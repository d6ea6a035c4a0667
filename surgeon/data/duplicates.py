"""Which images show the same picture: encoded anew, resized, a little brighter, or cut a little differently."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMBNAIL = 64  # pixels of a side, which is what the hash wants
_HASH_SIDE = 16
_TILES = 8  # a side, for the colours

# Of 924,120 pairs of photographs of flowers the nearest two that are not the same photograph differ in 94 of the
# 256 bits, where chance gives 128. Encoding anew changes up to 6 bits, resizing 6, contrast 18, 1 % cut off all
# around or a turn of one degree 40, 2 % cut off 56, and 5 % as much as another photograph.
_NEAR_BITS = 48
# The hash sees no colour, and nothing at all in a plain surface. Brightness times 1.3 changes the tiles by 25 of 255.
_NEAR_COLOUR = 32.0
_EXACT = 20_000  # pictures of which each is compared with every other
_BLOCK = 64  # pictures that are compared with all others at once
_COMPARED = 65_536  # pairs whose colours are compared at once
_LEAST_BITS = 16  # of a hash by which pictures are sorted
_MISSED = 0.01  # of the pairs whose hashes differ in ``_NEAR_BITS``; of those that differ in fewer far less
_CROWD = 256  # pictures with the same bits


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What pictures are compared by.

    Attributes:
        words: The bits of the perceptual hash, uint64 of shape (4,).
        colours: The means of 8 by 8 tiles, RGB from 0 to 255, uint8 of shape (192,).
        limit: In how many bits the hash of the same picture may differ.
    """

    words: NDArray[np.uint64]
    colours: NDArray[np.uint8]
    limit: float


def take_fingerprint(thumbnail: Image.Image, size: tuple[int, int]) -> Fingerprint:
    """Takes the perceptual hash (https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html).

    That is the signs of the low frequencies. A picture of few pixels has no more of them than pixels, and what is
    interpolated between them makes all such pictures alike; so the fewer there are, the nearer is near.

    Args:
        thumbnail: The picture as RGB, ``THUMBNAIL`` pixels square.
        size: Height and width of the picture itself in pixels.
    """
    bits = imagehash.phash(thumbnail, _HASH_SIDE, THUMBNAIL // _HASH_SIDE).hash
    tiles = thumbnail.resize((_TILES, _TILES), Image.Resampling.BOX)
    return Fingerprint(
        words=np.packbits(bits).view(np.uint64),
        colours=np.asarray(tiles, np.uint8).ravel(),
        limit=near_limit(size),
    )


def near_limit(size: tuple[int, int]) -> float:
    """Returns in how many bits the hash of a picture of that height and width may differ from that of the same."""
    return _NEAR_BITS * min(1.0, min(size) / THUMBNAIL)


def near_pairs(prints: Sequence[Fingerprint]) -> NDArray[np.intp]:
    """Returns pairs of positions whose pictures are nearly the same, shape (pairs, 2), the lesser one first.

    Pairs that others join already may be missing, so that ten thousand pictures of one wall make no fifty million.
    Up to ``_EXACT`` pictures each is compared with every other; of more only those that ``_colliding`` yields.
    """
    if not prints:
        return np.empty((0, 2), np.intp)
    words = np.array([taken.words for taken in prints], np.uint64)
    colours = np.array([taken.colours for taken in prints])
    limits = np.array([taken.limit for taken in prints])
    group = np.arange(len(prints))  # of each picture, as far as is known
    found = [np.empty((0, 2), np.intp)]
    for candidates in _all(words, limits) if len(prints) <= _EXACT else _colliding(words, limits, colours):
        for start in range(0, len(candidates), _COMPARED):
            pairs = candidates[start : start + _COMPARED]
            first, second = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]].T
            apart = np.abs(colours[first].astype(np.int16) - colours[second]).mean(axis=1)
            near = np.stack([first, second], axis=1)[apart <= _NEAR_COLOUR]
            if len(near):
                found.append(near)
                group = _components(group[near], len(prints))[group]
    return np.concatenate(found)


def _all(words: NDArray[np.uint64], limits: NDArray[np.float64]) -> Iterator[NDArray[np.intp]]:
    """Yields all pairs whose hashes are near; every hash is compared with every other, a block of them at a time."""
    for start in range(0, len(words), _BLOCK):
        block = slice(start, start + _BLOCK)
        differing = np.zeros((len(words[block]), len(words[start:])), np.uint16)
        for word in words.T:
            differing += np.bitwise_count(word[block, None] ^ word[start:])
        near = differing <= np.minimum(limits[block, None], limits[start:])
        yield np.argwhere(np.triu(near, 1)) + start


def _colliding(
    words: NDArray[np.uint64], limits: NDArray[np.float64], colours: NDArray[np.uint8]
) -> Iterator[NDArray[np.intp]]:
    """Yields nearly all pairs whose hashes are near, in a time that hardly grows faster than the pictures.

    That is locality-sensitive hashing (Indyk and Motwani 1998): pictures are sorted by some bits of their hashes, drawn
    by chance, and those that agree in all of these are compared; then by other bits, so often that a pair that differs
    in as many bits as may be is missed once in a hundred times. Where more than ``_CROWD`` agree, as plain surfaces do,
    each is compared with as many that are the nearest to it in brightness.
    """
    random = np.random.default_rng(0)
    count, bits = len(words), 64 * words.shape[1]
    width = max(_LEAST_BITS, count.bit_length())
    agreeing = math.comb(bits - _NEAR_BITS, width) / math.comb(bits, width)
    by_brightness = np.argsort(colours.mean(axis=1), kind="stable")
    for _ in range(math.ceil(math.log(_MISSED) / math.log1p(-agreeing))):
        key = np.zeros(count, np.uint64)
        for bit in random.choice(bits, width, replace=False):
            key = (key << np.uint64(1)) | ((words[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1))
        order = by_brightness[np.argsort(key[by_brightness], kind="stable")]
        key = key[order]
        at = np.arange(count)
        for distance in range(1, _CROWD):
            at = at[: np.searchsorted(at, count - distance)]
            at = at[key[at] == key[at + distance]]
            if not len(at):
                break
            first, second = order[at], order[at + distance]
            differing = np.bitwise_count(words[first] ^ words[second]).sum(axis=1)
            near = differing <= np.minimum(limits[first], limits[second])
            yield np.sort(np.stack([first[near], second[near]], axis=1), axis=1)


def join_pairs(pairs: NDArray[np.intp], count: int) -> list[list[int]]:
    """Returns the groups that pairs make where they have a member in common, each of them ascending.

    Args:
        pairs: Of positions below ``count``, shape (pairs, 2).
        count: How many positions there are.
    """
    group = _components(pairs, count)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    return [member.tolist() for member in members if len(member) > 1]


def _components(pairs: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Returns the number of the group that each of ``count`` positions is in."""
    edges = coo_array((np.ones(len(pairs)), pairs.T), (count, count))
    return np.asarray(connected_components(edges, directed=False)[1], np.intp)

"""Image formats: those that surgeon reads, and those of which it says what to do."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from surgeon.errors import BadImageError, install_hint
from surgeon.files import FileTooLargeError, read_regular

if TYPE_CHECKING:
    from pathlib import Path

MAX_MEGAPIXELS = 128.0  # of one image; cameras have up to 100, phones up to 200 that they reduce
MAX_IMAGE_BYTES = 256 * 1024 * 1024  # a photograph of 128 megapixels as JPEG or PNG stays below

# What surgeon reads, as Pillow calls it, and how such files are named. HEIF needs the extra `heic`.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
# Photographs and drawings that surgeon does not read: they are named, never passed over.
OTHER_SUFFIXES = {
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jxl", ".jxr", ".jls"),
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".x3f", ".3fr", ".iiq", ".rwl", ".psd", ".psb", ".xcf", ".kra", ".tga", ".pcx", ".ico", ".cur", ".icns", ".svg"),
    *(".svgz", ".eps", ".exr", ".hdr", ".qoi", ".dds", ".sgi", ".wbmp", ".fits", ".dcm", ".emf", ".wmf"),
}
HEAD = 400  # bytes by which a format is known
_READ = "JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF and HEIC"

_STARTS = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),  # the letters BM alone begin many a text
    (rb"RIFF....WEBP", "WEBP"),
    (rb"(II\*\0|MM\0\*|II\+\0|MM\0\+)(?!....CR)", "TIFF"),
    (rb"....ftyp(avif|avis)", "AVIF"),
    (rb"....ftyp(hei[cmsx]|hev[cmsx])", "HEIF"),
    (rb"....ftyp(mif1|msf1|miaf)(?=.{0,64}avif)", "AVIF"),
    (rb"....ftyp(mif1|msf1|miaf)", "HEIF"),
)
_OTHER_STARTS = (
    (rb"P[1-7]\s", "a PPM image"),
    (rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)", "a JPEG 2000 image"),
    (rb"(\xff\x0a|\0\0\0\x0cJXL )", "a JPEG XL image"),
    (rb"II\xbc", "a JPEG XR image"),
    (rb"((II\*\0|MM\0\*)....CR|....ftypcrx|FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|FOVb)", "a camera's raw photograph"),
    (rb"8BPS", "a Photoshop document"),
    (rb"gimp xcf", "a GIMP document"),
    (rb"v/1\x01", "an OpenEXR image"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance image"),
    (rb"qoif", "a QOI image"),
    (rb"DDS ", "a DirectDraw surface"),
    (rb"\0\0[\x01\x02]\0[^\0]", "an icon"),
    (rb"icns", "an icon"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "an SGI image"),
    (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "a PCX image"),
    (rb".[\0\x01][\x01-\x03\x09-\x0b].{13}[\x08\x0f\x10\x18\x20][\0-\x3f]", "a TGA image"),
    (rb"SIMPLE  =", "a FITS image"),
    (rb".{128}DICM", "a DICOM image"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.{0,200}?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", "an SVG drawing"),
)
_NO_IMAGES = ((rb"(%PDF|%!PS)", "a document"), (rb"....ftyp", "a video, or an image of an unknown kind"))
_PAGE = rb"\s*(<!doctype html|<html|<head|<\?xml)"


def format_of(head: bytes) -> str | None:
    """Returns which of ``FORMATS`` a file is that begins with these bytes, or None if it is none of them."""
    return next((name for start, name in _STARTS if re.match(start, head, re.DOTALL)), None)


def other_image(head: bytes) -> str | None:
    """Returns what image that surgeon does not read begins with these bytes, or None if it is none."""
    return next((what for start, what in _OTHER_STARTS if re.match(start, head, re.DOTALL)), None)


def recognize(data: bytes) -> str:
    """Returns which of ``FORMATS`` the content of a file is; its name does not matter.

    Raises:
        BadImageError: If it is none that can be read here. The reason says whether it is another image, and what to do.
    """
    if not data:
        raise BadImageError("the file is empty")
    head = data[:HEAD]
    name = format_of(head)
    if name == "HEIF" and find_spec("pillow_heif") is None:
        raise BadImageError(f"a HEIC image; {install_hint('heic', travels=True)}, or convert it to JPEG")
    if name is not None:
        return name
    for start, what in (*_OTHER_STARTS, *_NO_IMAGES):
        if re.match(start, head, re.DOTALL):
            raise BadImageError(f"{what}, which surgeon does not read; convert it to PNG or JPEG")
    if re.match(_PAGE, head, re.DOTALL | re.IGNORECASE):
        raise BadImageError("a web page, not an image; download the image itself")
    raise BadImageError(f"not an image that surgeon reads ({_READ}); convert or remove it")


def read_image(path: Path) -> bytes:
    """Returns the content of an image file.

    Raises:
        BadImageError: If it cannot be read, or is larger than ``MAX_IMAGE_BYTES``.
    """
    try:
        return read_regular(path, MAX_IMAGE_BYTES)
    except FileTooLargeError as error:
        raise too_large(str(error.strerror)) from error
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error


def too_large(found: str) -> BadImageError:
    """Returns what to say of an encoded image that is larger than is taken."""
    return BadImageError(f"{found}; make it smaller, or convert it to JPEG")

"""Decode image files that a stranger may have made: three formats, and in no more memory than they are given.

What an image takes is known from its header, before it is decoded, and threads that decode share what there is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from threading import Condition

import numpy as np
from PIL import Image, ImageOps

from .data_error import DataError
from .image_folders import Example

# Pillow tries no other decoder, whatever a file says that it is: some of them start other programs.
FORMATS = ("JPEG", "PNG", "WEBP")
READ = "JPEG, PNG and WebP are read"
# What other files begin with, and what they are. Of a pattern with a group, that is what is shown.
OTHERS = {
    rb"GIF8[79]a": "a GIF",
    rb"BM(?=.{4}\0{4})": "a BMP",
    rb"II\*\0|MM\0\*": "a TIFF",
    rb"....(ftyp(?:heic|heix|hevc|mif1|msf1))": "a HEIF photograph",
    rb"....(ftypavif)": "an AVIF",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000",
    rb"\0\0\0\x0cJXL |\xff\x0a": "a JPEG XL",
    rb"\0\0\x01\0": "an icon",
    rb"8BPS": "a Photoshop file",
    rb"%PDF": "a PDF",
    rb"%!PS": "PostScript",
    rb"PK\x03\x04": "a zip archive",
    rb"\x1f\x8b": "a gzip file",
    rb"\s*((?i:<!doctype html|<html))": "a web page",
    rb"\s*(<\?xml|<svg)": "XML, such as SVG",
    rb"version https://git-lfs": "a pointer of Git LFS, whose file `git lfs pull` brings",
}

SHOWN_BYTES = 16

DECODE_MEMORY = 1 << 30  # bytes
# At most taken for each pixel: by Pillow's own copy of the picture, 4 at most, and those that turn and convert it.
OPAQUE_BYTES, TRANSPARENT_BYTES, WEBP_BYTES = 8, 16, 20

# Of decoders, some take a few rows more, and call a row that they cannot count a lack of memory, which would end a run.
MOST_SIDE = 1 << 20  # pixels

# In a JPEG: how it begins; what begins a segment, among bytes that are none of a scan; and two of these.
JPEG = b"\xff\xd8"
SEGMENT = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
START_OF_SCAN, END_OF_IMAGE = b"\xda", b"\xd9"
JPEG_BLOCK = 32  # pixels, up to which sides are filled
COEFFICIENT_BYTES = 2
# Ten are usual. Each goes over the whole picture, however little it holds: 1 MB could keep a thread busy for hours.
MOST_SCANS = 100


class Memory:
    """Bytes that threads share: who needs some waits until others have given enough of theirs back.

    Attributes:
        most: All that there is.
    """

    def __init__(self, most: int = DECODE_MEMORY):
        self.most = most
        self._free = most
        self._changed = Condition()

    @contextmanager
    def reserved(self, needed: int) -> Iterator[None]:
        """Have so many bytes, at most all that there is, while the context lasts."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


class _TooLargeError(Exception):
    """Decoding would take more than is allowed; the text says what, and what raises the limit."""


def decode(content: bytes, size: int, memory: Memory | None = None) -> np.ndarray:
    """The central square of an image: (size, size, 3) ``uint8``, red, green, blue.

    The shorter side is resized to ``size``, bilinearly and smoothed. A photograph that says how it was held is turned
    upright; what is transparent shows white. Of an animation, it is the first picture.

    Args:
        content: The image as it is stored.
        size: Height and width of the square.
        memory: What is decoded in; by default of `DECODE_MEMORY` bytes, for this image alone.

    Raises:
        Exception: The content is no whole image of a known format, or takes more memory; the class is the decoder's
            choice.
    """
    memory = memory or Memory()
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        full = image.size
        # Of a JPEG that is far larger, a half or a quarter is decoded at once.
        image.draft(None, (2 * size, 2 * size))
        if max(full) > MOST_SIDE:
            raise _TooLargeError(f"{_size(full)}, and {MOST_SIDE:,} in a row are the most that are decoded")
        # What is said after the pixels, against the format's rules, comes too late to count.
        transparent = image.has_transparency_data
        needed = _bytes_needed(image, full, content, transparent)
        if needed > memory.most:
            raise _TooLargeError(
                f"{_size(full)}, which take {needed:,} bytes to decode: more than decode_memory={memory.most:,}"
            )
        with memory.reserved(needed):
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(ImageOps.fit(_as_rgb(image, transparent), (size, size), Image.Resampling.BILINEAR))


def _size(full: tuple[int, int]) -> str:
    return "{:,} × {:,} pixels".format(*full)


def _bytes_needed(image: Image.Image, full: tuple[int, int], content: bytes, transparent: bool) -> int:
    """At most how many bytes decoding takes at once, with the file itself and all copies and conversions.

    Args:
        image: Opened, and not decoded yet.
        full: Width and height before a JPEG's draft.
        content: The file.
        transparent: Whether some of it may be.
    """
    if image.format == "WEBP":  # which the decoder copies, and of which it keeps two whole pictures for animations
        return 3 * len(content) + WEBP_BYTES * prod(image.size)
    needed = len(content) + (TRANSPARENT_BYTES if transparent else OPAQUE_BYTES) * prod(image.size)
    if content.startswith(JPEG):
        bands = len(image.getbands())
        scans = _scans(content)
        if len(scans) > MOST_SCANS:
            raise _TooLargeError(f"a JPEG of {len(scans):,} scans: {MOST_SCANS:,} are the most that are decoded")
        if image.info.get("progressive") or scans != [bands]:  # all coefficients are kept until the last scan
            width, height = full
            needed += COEFFICIENT_BYTES * bands * (width + JPEG_BLOCK) * (height + JPEG_BLOCK)
    return needed


def _scans(content: bytes) -> list[int]:
    """The number of components in each scan of a JPEG: ITU-T T.81, annex B."""
    scans = []
    start = len(JPEG)
    while (marker := SEGMENT.search(content, start)) and marker[1] != END_OF_IMAGE:
        start = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        if marker[1] == START_OF_SCAN:
            scans += content[marker.end() + 2 : marker.end() + 3]
    return scans


class CorruptImageError(DataError):
    """An image file is no whole image of a format that is read.

    Attributes:
        reason: What is wrong with it. It depends on nothing but the file, whatever version of the decoder says what.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.reason = reason


def load(example: Example, size: int, memory: Memory | None = None) -> np.ndarray:
    """The central square of an image, as `decode` gives it.

    Raises:
        CorruptImageError: It is no whole image of a format that is read, or takes more memory than there is.
        OSError: The file cannot be read.
    """
    memory = memory or Memory()
    if example.stored_size > memory.most:
        raise CorruptImageError(
            example.name, f"a file of {example.stored_size:,} bytes: more than decode_memory={memory.most:,}"
        )
    content = example.read()
    if len(content) < example.size:
        raise CorruptImageError(
            example.name, f"cut off after {len(content):,} of {example.size:,} bytes since it was listed"
        )
    try:
        return decode(content, size, memory)
    except MemoryError:  # is no fault of the image
        raise
    except Exception as error:  # decoders raise whatever comes to them over a broken file
        raise CorruptImageError(example.name, _why_corrupt(content, error)) from error


def _why_corrupt(content: bytes, error: Exception) -> str:
    """What is wrong with an image file that the decoder has raised an error over."""
    if not content.strip(b"\0"):
        return "nothing but zeros" if content else "empty"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # None sets no limit, and gives no such error
        return f"more than {most:,} pixels, the most that are decoded: twice PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, _TooLargeError):
        return str(error)
    if content.startswith(JPEG):
        return _undecodable("JPEG", cut_off=content.find(b"\xff\xd9", content.rfind(b"\xff\xda")) < 0)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _undecodable("PNG", cut_off=b"IEND" not in content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _undecodable("WebP", cut_off=int.from_bytes(content[4:8], "little") + 8 > len(content))
    for pattern, kind in OTHERS.items():
        match = re.match(pattern, content, re.DOTALL)
        if match:
            return f"begins with {_shown(match[match.lastindex or 0])}: {kind}, and {READ}"
    return f"begins with {_shown(content[:SHOWN_BYTES])}, and {READ}"


def _undecodable(kind: str, cut_off: bool) -> str:
    return f"a {kind} that ends in the middle" if cut_off else f"a {kind} that cannot be decoded"


def _shown(content: bytes) -> str:
    """The text that bytes begin with, or else their numbers."""
    text = re.match(rb"[ -~]{2,}", content)
    return text[0].decode() if text else f"the bytes {content.hex(' ')}"


def _as_rgb(image: Image.Image, transparent: bool) -> Image.Image:
    """The image in red, green and blue, over white; as few copies as may be are kept at once."""
    if image.mode.startswith("I;16"):  # grey in 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if transparent:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")

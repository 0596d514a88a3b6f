"""Images that are broken, or small as files and huge as pictures, or made to keep whoever reads them busy."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
# Colour types of PNG, as mode of Pillow: number and bits.
COLOURS = {"1": (0, 1), "L": (0, 8), "I;16": (0, 16), "P": (3, 8), "LA": (4, 8), "RGB": (2, 8), "RGBA": (6, 8)}


class Picture(NamedTuple):
    """An image that is not to be decoded.

    Attributes:
        name: Of the case.
        content: The file.
        said: What the reason has to say.
    """

    name: str
    content: bytes
    said: str


@cache
def small(mode: str = "RGB", side: int = 64) -> Image.Image:
    """A picture of coloured squares."""
    squares = np.random.default_rng(0).integers(0, 256, (-(-side // 8), -(-side // 8), 4), np.uint8)
    image = Image.fromarray(squares.repeat(8, 0).repeat(8, 1)[:side, :side])
    if mode == "P":
        return image.convert("RGB").quantize(16)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(mode: str, width: int, height: int, *further: bytes) -> bytes:
    """A PNG of any size, of which the pixels are no more than promised."""
    colour, bits = COLOURS[mode]
    palette = [chunk(b"PLTE", bytes(768))] if mode == "P" else []
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    parts = header, *palette, *further, chunk(b"IDAT", zlib.compress(bytes(1 << 16))), chunk(b"IEND", b"")
    return PNG + b"".join(parts)


def jpeg(width: int, height: int, image: Image.Image | None = None, **options: object) -> bytes:
    """A JPEG that says to be of another size than it is."""
    content = bytearray(encoded(image or small(), "JPEG", **options))
    frame = content.find(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def scans(count: int) -> bytes:
    """A progressive JPEG that goes over its picture so often."""
    content = encoded(small(), "JPEG", progressive=True)
    last = content.rfind(b"\xff\xda")
    return content[:last] + count * content[last:-2] + content[-2:]


def webp(kind: bytes, width: int, height: int) -> bytes:
    """A WebP that says to be of another size than it is: in the header of an animation, or of either of its codecs."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = encoded(small(), "WEBP", lossless=kind == b"VP8L")[12:]
    if kind == b"VP8L":
        header = bytearray(frame)
        header[9:13] = (int.from_bytes(frame[9:13], "little") & ~0xFFFFFFF | width - 1 | height - 1 << 14).to_bytes(
            4, "little"
        )
    elif kind == b"VP8 ":
        header = bytearray(frame)
        header[14:18] = struct.pack("<HH", width, height)
    else:
        header = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + frame
        if kind == b"ANIM":
            place = bytes(6) + b"\x3f\0\0\x3f\0\0" + b"\x64\0\0\0"
            frames = b"ANIM" + struct.pack("<I", 6) + bytes(6)
            frames += 3 * (b"ANMF" + struct.pack("<I", len(place) + len(frame)) + place + frame)
            header = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + size + frames
    return b"RIFF" + struct.pack("<I", len(header) + 4) + b"WEBP" + header


def large() -> Iterator[Picture]:
    """Beyond the usual limit for memory, and below Pillow's for pixels, or beyond both."""
    for mode in COLOURS:
        for further, name in (((), ""), ((chunk(b"tRNS", bytes(2)),), ", transparent")):
            if name and mode not in ("L", "P"):
                continue
            limit = 11_600 if mode in ("1", "L", "P", "I;16", "RGB") and not name else 8_200
            for side in (limit, 13_300):
                yield Picture(f"{mode} of {side}²{name}", png(mode, side, side, *further), "bytes to decode: more than")
        yield Picture(f"{mode} of 2³¹ - 1 squared", png(mode, 2**31 - 1, 2**31 - 1), "the most that are decoded")
        yield Picture(f"{mode} of 10⁵ squared", png(mode, 10**5, 10**5), "the most that are decoded")
        for width, height in ((178_000_000, 1), (100_000_000, 1), (1, 100_000_000), (1 << 20, 2 << 20)):
            said = "the most that are decoded"
            yield Picture(f"{mode} of {width} in length and {height}", png(mode, width, height), said)
    yield Picture(
        "an animated PNG", png("RGBA", 13_300, 13_300, chunk(b"acTL", bytes(7) + b"\2" + bytes(4))), "bytes to decode"
    )
    for name, options in {"": {}, " of whole colour": {"subsampling": 0}}.items():
        content = jpeg(13_300, 13_300, progressive=True, **options)
        yield Picture(f"a progressive JPEG{name}", content, "bytes to decode: more than")
    yield Picture(
        "a JPEG of printers' colours", jpeg(12_500, 12_500, small("CMYK"), progressive=True), "bytes to decode"
    )
    yield Picture("a JPEG of 65,500²", jpeg(65_500, 65_500), "the most that are decoded")
    for kind in (b"VP8 ", b"VP8L", b"VP8X", b"ANIM"):
        if kind != b"VP8X":  # without an animation, the decoder wants its size to be the picture's
            yield Picture(f"a WebP of 13,300² in {kind}", webp(kind, 13_300, 13_300), "bytes to decode: more than")
        yield Picture(f"a WebP of 16,383² in {kind}", webp(kind, 16_383, 16_383), "the most that are decoded")
    yield Picture("a WebP of 16 million in length", webp(b"VP8X", 2**24, 255), "the most that are decoded")


def busy() -> Iterator[Picture]:
    for count in (101, 2000, 20_000):
        yield Picture(f"a JPEG of {count} scans", scans(count), "scans: 100 are the most")


def overlapping_exif(entries: int = 4000, size: int = 60_000) -> bytes:
    """EXIF data whose entries all are the same bytes: a thousand times as many as it has."""
    head = b"II*\0" + struct.pack("<IH", 8, entries)
    listed = b"".join(struct.pack("<HHII", 40_000 + i, 7, size - 100, 0) for i in range(entries))
    return (head + listed + bytes(4)).ljust(size, b"\0")


def with_metadata() -> Iterator[tuple[str, bytes]]:
    """Good images whose other parts are packed a thousand times, overlap, or are many."""
    zeros = zlib.compress(bytes(100 << 20), 9)
    text = zlib.compress(b"x" * ((1 << 20) - 100), 9)
    texts = [chunk(b"zTXt", b"k%d\0\0" % i + text) for i in range(300)]
    body = encoded(small(), "PNG")
    before, after = body[:33], body[33:]
    profile = chunk(b"iCCP", b"p\0\0" + zeros)
    exif = overlapping_exif()
    yield "a profile of 100 MB", before + profile + after
    yield "a text of 100 MB", before + chunk(b"zTXt", b"k\0\0" + zeros) + after
    yield "a text of 100 MB of other signs", before + chunk(b"iTXt", b"k\0\1\0\0\0" + zeros) + after
    yield "fifty texts of 1 MB", before + b"".join(texts[:50]) + after
    yield "300 texts of 1 MB", before + b"".join(texts) + after
    yield (
        "300 texts behind",
        body[:-12] + b"".join(texts) + body[-12:],
    )
    yield "many chunks", before + chunk(b"teSt", b"") * 20_000 + after
    yield "EXIF data that overlap in a PNG", before + chunk(b"eXIf", exif) + after
    yield "EXIF data that overlap in a JPEG", encoded(small(), "JPEG", exif=b"Exif\0\0" + exif)
    yield "EXIF data that overlap in a WebP", encoded(small(), "WEBP", exif=exif)
    yield "large EXIF data that overlap", before + chunk(b"eXIf", overlapping_exif(20_000, 1 << 20)) + after
    yield "a large profile in a WebP", encoded(small(), "WEBP", icc_profile=bytes(1 << 20))
    yield "large XMP data in a WebP", encoded(small(), "WEBP", xmp=b"<x>" * (1 << 18))
    yield "transparency said too late", body[:-12] + chunk(b"tRNS", bytes(6)) + body[-12:]
    frames = [small("RGBA").rotate(angle) for angle in range(0, 360, 3)]
    yield "an animated WebP", encoded(small("RGBA"), "WEBP", save_all=True, append_images=frames)
    yield "an animated PNG", encoded(small("RGBA"), "PNG", save_all=True, append_images=frames)
    yield (
        "a JPEG behind which a film lies",
        encoded(small(), "JPEG") + b"\xff\xda" * 1000 + random.Random(0).randbytes(10_000),
    )


def sources() -> dict[str, bytes]:
    """Good images of every kind."""
    progressive = {"progressive": True}
    return {
        **{f"PNG {mode}": encoded(small(mode), "PNG") for mode in COLOURS},
        **{f"JPEG {mode}": encoded(small(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
        **{f"JPEG {mode}, progressive": encoded(small(mode), "JPEG", **progressive) for mode in ("L", "RGB", "CMYK")},
        **{f"WebP {mode}": encoded(small(mode), "WEBP") for mode in ("RGB", "RGBA")},
        **{f"WebP {mode}, lossless": encoded(small(mode), "WEBP", lossless=True) for mode in ("RGB", "RGBA")},
    }


def mutated(each: int = 20) -> Iterator[tuple[str, bytes]]:
    """Good images with some bytes changed, cut off, left out, or put elsewhere."""
    rng = random.Random(0)
    for name, content in sources().items():
        for i in range(each):
            broken = bytearray(content)
            at, to = sorted(rng.randrange(len(content)) for _ in range(2))
            match i % 5:
                case 0:
                    del broken[at:]
                case 1:
                    del broken[at:to]
                case 2:
                    broken[at:at] = content[at:to]
                case 3:
                    broken[rng.randrange(2, 60)] = rng.randrange(256)
                case 4:
                    for _ in range(10):
                        broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield f"{name}, {i}", bytes(broken)

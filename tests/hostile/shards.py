"""Shards that are cut off, that lie, or that were made to exhaust their reader; and good ones of common writers."""

import gzip
import io
import random
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = 512
LONG = "/".join(["a-folder-with-a-rather-long-name"] * 8)
END = bytes(2 * BLOCK)
SIZE_AT, SIZE_LENGTH = 124, 12  # in a header, as the checksum's eight bytes are at 148


class Shard(NamedTuple):
    """A shard that is not to be read.

    Attributes:
        name: Of the case.
        content: The file.
        said: What the error has to say, beside the shard's name.
        length: Length of the file, where zeros without number follow.
    """

    name: str
    content: bytes
    said: str = ""
    length: int = 0


def image(seed: int = 0) -> bytes:
    """Bytes that stand for an image: listing decodes none."""
    return random.Random(seed).randbytes(700)


def members(prefix: str = "") -> list[tuple[str, bytes]]:
    """The names and contents of three images and their labels."""
    names = [f"{prefix}{i}" for i in range(3)]
    return [pair for i, key in enumerate(names) for pair in ((f"{key}.jpg", image(i)), (f"{key}.cls", b"0"))]


def written(contents: list[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT, mode: str = "w") -> bytes:
    """What Python's writer makes of them; WebDataset's is this one, with ``mode="w|"``."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=kind) as tar:
        for name, content in contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, raw_size: bytes | None = None) -> bytes:
    """A header block whose checksum is right, whatever its size says."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[SIZE_AT : SIZE_AT + SIZE_LENGTH] = raw_size or b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def base_256(number: int) -> bytes:
    """A size as GNU tar writes those that octal digits cannot hold."""
    return (b"\xff" if number < 0 else b"\x80") + (number % 256**11).to_bytes(11, "big")


def extended(kind: bytes, content: bytes, raw_size: bytes | None = None) -> bytes:
    return header("././@LongLink", kind, len(content), raw_size) + padded(content)


def record(key: str, text: str) -> bytes:
    """A record of a pax header."""
    rest = f" {key}={text}\n".encode()
    length = len(rest) + len(str(len(rest)))
    length += len(str(length)) - len(str(len(rest)))
    return str(length).encode() + rest


def around(*parts: bytes) -> bytes:
    """These parts between two good pairs of image and label."""
    before, after = written(members()[:2]).rstrip(b"\0"), written(members()[2:4])
    return padded(before) + b"".join(parts) + after


def cut_off() -> Iterator[Shard]:
    """At, between and inside headers, long headers and contents, and in the mark of the end."""
    contents = {
        "ustar": written(members()),
        "gnu": written(members(f"{LONG}/"), tarfile.GNU_FORMAT),
        "pax": written(members(f"{LONG}/"), tarfile.PAX_FORMAT),
    }
    for kind, whole in contents.items():
        last = len(padded(whole.rstrip(b"\0")))
        for length in range(0, last + 2 * BLOCK, BLOCK // 2):
            yield Shard(f"{kind} cut off after {length} bytes", whole[:length])
        for length in (1, last + 1, last + BLOCK + 1, last + 2 * BLOCK - 1):
            yield Shard(f"{kind} cut off after {length} bytes", whole[:length])


def wrong_sizes() -> Iterator[Shard]:
    for name in ("x.jpg", "x.cls", "x.json"):
        for size in (-1, -512, -1024, -(2**62), -(2**80), 2**20, 2**40, 2**62, 2**64, 2**80):
            broken = header(name, raw_size=base_256(size)) + padded(image())
            yield Shard(f"{name} of {size} bytes", around(broken), f"{name} is said to have")
        for raw in (b"77777777777\0", b"00000100000\0"):
            yield Shard(f"{name} of {raw} bytes", around(header(name, raw_size=raw)), f"{name} is said to have")
        for raw in (b"-0000000001\0", b"0x000000200\0", b"no number\0\0\0", b"99999999999\0"):
            yield Shard(f"{name} of {raw} bytes", around(header(name, raw_size=raw)))
        for text in (
            "-512",
            "-0",
            "1_0",
            "+5",
            "5.0",
            "1e3",
            "",
            "nan",
            "٣",
            "\x1b[2J",
            "9" * 5000,
            str(2**63),
            "99999",
        ):
            broken = extended(tarfile.XHDTYPE, record("size", text)) + header(name) + padded(image())
            yield Shard(f"{name} of {text[:20]!r} bytes in pax", around(broken), f"{name} is said to have")
        smaller = extended(tarfile.XHDTYPE, record("size", "1")) + header(name, size=700) + padded(image())
        yield Shard(f"{name} of two sizes", around(smaller), "something other than a member")


def sparse() -> Iterator[Shard]:
    for name in ("x.jpg", "x.cls", "x.json"):
        said = f"{name} is a link or a sparse file"
        yield Shard(f"sparse {name}", around(header(name, tarfile.GNUTYPE_SPARSE, 512), bytes(BLOCK)), said)
        endless = bytearray(header(name, tarfile.GNUTYPE_SPARSE))
        endless[482] = 1  # its map goes on
        endless[148:156] = b" " * 8
        endless[148:156] = b"%06o\0 " % sum(endless)
        yield Shard(f"endless map of sparse {name}", around(bytes(endless), b"\x01" * 9 * BLOCK), said)
        for records in (
            record("GNU.sparse.map", "0,1,2"),
            record("GNU.sparse.map", "x" * 1000),
            record("GNU.sparse.size", str(2**60))
            + record("GNU.sparse.offset", "0")
            + record("GNU.sparse.numbytes", "1"),
            record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "9"),
            record("GNU.sparse.name", name),
        ):
            parts = extended(tarfile.XHDTYPE, records), header(name, size=700), padded(image())
            yield Shard(f"{name} sparse by {records[:30]}", around(*parts), said)


def long_headers() -> Iterator[Shard]:
    """Chains of them, of any size, of which none need be true."""
    kinds = {
        "long names": extended(tarfile.GNUTYPE_LONGNAME, b"x.jpg\0"),
        "long links": extended(tarfile.GNUTYPE_LONGLINK, b"y\0"),
        "pax headers": extended(tarfile.XHDTYPE, record("comment", "none")),
        "Solaris' pax headers": extended(tarfile.SOLARIS_XHDTYPE, record("comment", "none")),
        "pax headers of all": extended(tarfile.XGLTYPE, record("comment", "none")),
    }
    member = header("x.jpg", size=700) + padded(image())
    for kind, one in kinds.items():
        for count in (2, 1000, 5000):
            yield Shard(f"{count} {kind}", around(one * count, member), "two long headers of one kind")
        yield Shard(f"{kind} at the end", padded(written(members()).rstrip(b"\0")) + one + END, "no member after it")
        yield Shard(f"{kind} cut off", padded(written(members()).rstrip(b"\0")) + one[:600])
    mixed = kinds["pax headers"] + kinds["pax headers of all"] + kinds["long names"]
    yield Shard("kinds in turn", around(mixed * 1000, member), "two long headers of one kind")
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE):
        for size in (-1, -512, 2**20 + 1, 2**33, 2**62):
            broken = extended(kind, b"", base_256(size)), member
            yield Shard(f"a header of kind {kind} of {size} bytes", around(*broken), "a long header of")
        large = extended(kind, b"\0" * (1 << 20)), member
        yield Shard(f"a header of kind {kind} that is cut off", around(*large)[: 1 << 19], "unexpected end of data")
    for key in ("path", "size", "GNU.sparse.map"):
        yield Shard(f"one {key} for all", around(extended(tarfile.XGLTYPE, record(key, "1")), member), f"one {key}")
    for name in ("a" * 5000 + ".jpg", "a/" * 500_000 + "x.jpg"):
        for kind, content in ((b"L", name.encode()), (b"x", record("path", name))):
            yield Shard(f"{kind} of {len(name)}", around(extended(kind, content), member), "a member whose name has")
    for records in (
        b"1" * (1 << 20),  # which some expressions go over as often as they are long
        b"0 path=x.jpg\n",
        b"-5 path=x.jpg\n",
        b"5 path=x.jpg\n",
        b"99999 path=x.jpg\n",
        b"9" * 5000 + b" path=x.jpg\n",
        b"14 path x.jpg\n",
        b"14 path=x.jpgg",
        b"path=x.jpg\n",
        b" \n",
        b"\xd9\xa1\xd9\xa4 path=x.jpg\n",
        b"13 path=x.jpg\n14",
    ):
        yield Shard(f"pax {records[:20]}", around(extended(b"x", records), member), "a malformed pax header")


def wrong_ends() -> Iterator[Shard]:
    whole = written(members())
    body = padded(whole.rstrip(b"\0"))
    yield Shard("no end", body, "lacks the mark of its end")
    yield Shard("half an end", body + bytes(BLOCK), "lacks the mark of its end")
    yield Shard("less than half an end", body + bytes(BLOCK - 1), "lacks the mark of its end")
    yield Shard("one archive behind another", whole + whole, "something other than a member")
    yield Shard("a member behind half an end", body + bytes(BLOCK) + whole, "something other than a member")
    yield Shard("a word behind the end", whole + b"x", "something other than a member")
    yield Shard("a header that is none", body + b"x" * BLOCK + whole, "something other than a member")
    yield Shard("zeros behind no header", body + b"x" * BLOCK + bytes(BLOCK), "something other than a member")
    yield Shard("a disk's zeros behind the end", whole, "may not have been written to its end", 1 << 21)
    yield Shard("a disk's zeros without number", whole, "may not have been written to its end", 1 << 36)
    yield Shard("a disk's zeros in a member", body[: 4 * BLOCK], "may not have been written to its end", 1 << 30)
    yield Shard("zeros alone", b"", "may not have been written to its end", 1 << 36)
    yield Shard("an archive of nothing", written([]), "no images")


def no_archives() -> Iterator[Shard]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("x.jpg", image())
    for name, content in {
        "nothing": b"",
        "text": b"KEY.jpg KEY.cls\n" * 99,
        "gzip": gzip.compress(written(members())),
        "zip": packed.getvalue(),
        "random bytes": random.Random(0).randbytes(10_240),
        "ones": b"\xff" * 10_240,
    }.items():
        yield Shard(name, content, "not a whole, uncompressed tar file")


def flipped(count: int = 40) -> Iterator[Shard]:
    """One bit of one header is another."""
    rng = random.Random(1)
    whole = written(members())
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        offsets = [member.offset for member in tar]
    for _ in range(count):
        at = rng.choice(offsets) + rng.randrange(BLOCK)
        broken = bytearray(whole)
        broken[at] ^= 1 << rng.randrange(8)
        yield Shard(f"bit flipped in byte {at}", bytes(broken))


def bad() -> list[Shard]:
    """All of them."""
    kinds = (cut_off, wrong_sizes, sparse, long_headers, wrong_ends, no_archives, flipped)
    return [shard for kind in kinds for shard in kind()]


def good(folder: Path) -> Iterator[tuple[str, Path]]:
    """Shards of three images by what common writers and their options make, written into a folder."""
    contents = {
        "Python, ustar": written(members()),
        "Python, GNU": written(members(f"{LONG}/"), tarfile.GNU_FORMAT),
        "Python, pax": written(members(f"{LONG}/é/"), tarfile.PAX_FORMAT),
        "WebDataset": written(members(), tarfile.USTAR_FORMAT, "w|"),
        "two blocks of zeros and no more": padded(written(members()).rstrip(b"\0")) + END,
        "a MiB of blocks": written(members()) + bytes((1 << 20) - 20_480),
        "git archive": extended(tarfile.XGLTYPE, record("comment", "0" * 40)) + written(members()),
        "attributes": extended(b"x", record("SCHILY.xattr.user.note", "x" * 60_000)) + written(members()),
        "a name and a link that are long": extended(b"K", b"y\0") + extended(b"L", b"0.jpg\0") + written(members()),
        "a size in pax": extended(b"x", record("size", "700")) + header("0.jpg") + written(members())[BLOCK:],
    }
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.tar").write_bytes(content)
        yield name, folder / f"{name}.tar"
    source = folder / "source"
    for name, content in members(f"{LONG}/"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    for program, kinds in {"tar": ("gnu", "oldgnu", "pax"), "bsdtar": ("gnutar", "pax", "ustar")}.items():
        if shutil.which(program) is None:
            continue
        for kind in kinds:
            for blocks in ("1", "20", "2048"):
                path = folder / f"{program} {kind} {blocks}.tar"
                command = [program, f"--format={kind}", "-b", blocks, "-C", source, "-cf", path, "."]
                if subprocess.run(command, capture_output=True).returncode == 0:
                    yield path.stem, path

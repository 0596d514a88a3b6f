"""Walk over the members of a tar file that a stranger may have made: strictly, in one pass, with bounded headers.

Python's own `tarfile` decodes the blocks. It does not walk: it calls itself once for every header of a chain, reads a
header of any size into memory, goes back where a size is negative, and takes whatever it cannot read for the end.

Formats: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from .data_error import DataError
from .input_checks import printable

BLOCK = tarfile.BLOCKSIZE
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
PAX, PAX_OF_ALL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.XGLTYPE
# Headers that say more of the member that follows, or of all that follow.
EXTENDED = (LONG_NAME, LONG_LINK, *PAX, PAX_OF_ALL)
WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)

NOT_WHOLE = "is a link or a sparse file: pack the shard with whole files in it"
MOST_EXTENDED = 1 << 20  # bytes; access control lists and other attributes may take some 64 KiB each
MOST_NAME = 4096  # bytes, as Linux has it for a path
SIZE_DIGITS = 19  # of 2⁶³ bytes
# Python, GNU tar and bsdtar fill a file up to 10 KiB. More is space that was set aside for what has never been written.
MOST_PADDING = 1 << 20


def walk(path: str) -> Iterator[tarfile.TarInfo]:
    """The members of an uncompressed tar file, in their order, with ``name``, ``type``, ``size`` and ``offset_data``.

    A name is for people and for comparison, and never a path; what does not print is written in it as an escape.

    Raises:
        DataError: The file does not hold what its headers say, from the first one to the two blocks of zeros that end
            it; a member is sparse; or headers are malformed or absurdly many or large. The message names the file and
            the member.
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            yield from _members(file, os.fstat(file.fileno()).st_size)
        except tarfile.TarError as error:
            raise DataError(f"{path}: not a whole, uncompressed tar file ({error})") from error


def _members(file: BinaryIO, end: int) -> Iterator[tarfile.TarInfo]:
    """The members, of a file that is ``end`` bytes long; raises a `tarfile.TarError`."""
    while (member := _next_header(file)) is not None:
        said: dict[str, str] = {}
        seen = set()
        while member.type in EXTENDED:
            if member.type in seen:
                raise tarfile.ReadError(f"two long headers of one kind for one member, at byte {member.offset:,}")
            seen.add(member.type)
            said |= _extended(file, member)
            at = file.tell()
            member = _next_header(file)
            if member is None:
                raise tarfile.ReadError(f"a long header and no member after it, at byte {at:,}")
        _apply(said, member, file.name)
        _skip_content(file, end, member)
        yield member
    _require_end(file, end)


def _next_header(file: BinaryIO) -> tarfile.TarInfo | None:
    """The header at the place where the file is, which then is after it; ``None`` for a block of zeros."""
    offset = file.tell()
    block = file.read(BLOCK)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if len(block) == BLOCK and not any(block):
            return None
        if offset == 0:
            raise tarfile.ReadError(f"{error}" if block else "empty file") from error
        if len(block) < BLOCK:
            raise tarfile.ReadError("it lacks the mark of its end: it may be cut off") from error
        raise tarfile.ReadError(f"something other than a member follows after {offset:,} bytes") from error
    header.offset, header.offset_data = offset, offset + BLOCK
    return header


def _extended(file: BinaryIO, header: tarfile.TarInfo) -> dict[str, str]:
    """What a long header says, by the names that pax has for it; the file then is after it."""
    if not 0 <= header.size <= MOST_EXTENDED:
        raise tarfile.ReadError(
            f"a long header of {header.size:,} bytes at byte {header.offset:,}: {MOST_EXTENDED:,} are the most"
        )
    content = file.read(header.size)
    if len(content) < header.size:
        raise tarfile.ReadError("unexpected end of data in a long header: it may be cut off")
    file.seek(-header.size % BLOCK, os.SEEK_CUR)
    if header.type == LONG_LINK:
        return {}
    if header.type == LONG_NAME:
        return {"path": _text(content.partition(b"\0")[0])}
    records = dict(_pax_records(content, header.offset))
    needed = {key: text for key, text in records.items() if key in ("path", "size") or key.startswith("GNU.sparse.")}
    if needed and header.type == PAX_OF_ALL:
        raise tarfile.ReadError(f"a header that gives all members one {min(needed)}, at byte {header.offset:,}")
    return needed


def _pax_records(content: bytes, offset: int) -> Iterator[tuple[str, str]]:
    """Keys and values of a pax header, whose records are ``LENGTH KEY=VALUE`` and a line end."""
    start = 0
    while start < len(content) and content[start]:
        digits = content[start : start + SIZE_DIGITS + 1].partition(b" ")[0]
        stop = start + int(digits) if digits.isdigit() and len(digits) <= SIZE_DIGITS else 0
        key, equals, text = content[start + len(digits) + 1 : max(stop - 1, 0)].partition(b"=")
        if not equals or content[stop - 1 : stop] != b"\n":
            raise tarfile.ReadError(f"a malformed pax header at byte {offset:,}")
        yield _text(key), _text(text)
        start = stop


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _apply(said: dict[str, str], member: tarfile.TarInfo, path: str) -> None:
    """Put what long headers say of a member in the place of what its own says."""
    name = said.get("path", member.name)
    if len(name) > MOST_NAME:
        raise tarfile.ReadError(
            f"a member whose name has {len(name):,} characters, at byte {member.offset:,}: {MOST_NAME:,} are the most"
        )
    member.name = printable(name)
    if member.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in said):
        raise DataError(f"{path}: {member.name} {NOT_WHOLE}")
    size = said.get("size", str(member.size))
    if not (size.isascii() and size.isdigit() and len(size) <= SIZE_DIGITS):
        raise tarfile.ReadError(f"{member.name} is said to have {printable(size)} bytes")
    member.size = int(size)


def _skip_content(file: BinaryIO, end: int, member: tarfile.TarInfo) -> None:
    """Go on after the content of a member, and see that all of it is there."""
    if member.type in WITHOUT_CONTENT:
        return
    there = end - member.offset_data
    if member.size > there:
        raise tarfile.ReadError(
            f"unexpected end of data: {member.name} is said to have {member.size:,} bytes, and {max(there, 0):,} are "
            "there"
        )
    file.seek(member.offset_data + member.size + -member.size % BLOCK)


def _require_end(file: BinaryIO, end: int) -> None:
    """See that two blocks of zeros end the file, of which one has been read, and nothing else follows."""
    last = file.tell() - BLOCK
    if end - last < 2 * BLOCK:
        raise tarfile.ReadError("it lacks the mark of its end: it may be cut off")
    if end - last > MOST_PADDING:
        raise tarfile.ReadError(
            f"{end - last:,} bytes follow after its end, at byte {last:,}: it may not have been written to its end"
        )
    if any(file.read(end - last)):
        raise tarfile.ReadError(
            f"something other than a member follows after {last:,} bytes: of two archives, one behind the other, "
            "`tar --concatenate` makes one"
        )

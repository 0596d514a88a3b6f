"""Web servers on this machine whose answers are odd, false, endless, slow or anything but the file."""

import gzip
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import repeat

CONTENT = random.Random(0).randbytes(50_000)  # of the file
FILE = gzip.compress(CONTENT)
MOST = 1_000_000  # pieces, after which what has no end ends, should nobody hang up
PIECE_SECONDS = 0.05

Answer = Callable[[], Iterator[bytes]]


class Server:
    """Gives to whoever connects what an answer yields, piece by piece, and whatever was asked for.

    Attributes:
        address: Where it is.
        sent: How many bytes it got rid of.
    """

    def __init__(self, answer: Answer):
        self.sent = 0
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._closed.is_set():
                return connection.close()
            with connection, suppress(OSError):  # the other side has had enough
                connection.settimeout(10)
                connection.recv(1 << 16)
                for piece in self._answer():
                    connection.sendall(piece)
                    self.sent += len(piece)
                    if self._closed.is_set():
                        break

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


def head(*headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, *([] if length is None else [f"Content-Length: {length}"]), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def whole(body: bytes = FILE, *headers: str) -> Answer:
    return lambda: iter([head(*headers, length=len(body)), body])


def raw(*pieces: bytes) -> Answer:
    return lambda: iter(pieces)


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def endless(*first: bytes, piece: bytes) -> Answer:
    """Sends the same for ever, as fast as it is taken."""

    def answer() -> Iterator[bytes]:
        yield from first
        yield from repeat(piece, MOST)

    return answer


def slow(*first: bytes, piece: bytes) -> Answer:
    """Never waits long before it sends a little more."""

    def answer() -> Iterator[bytes]:
        yield from first
        for _ in range(300):
            time.sleep(PIECE_SECONDS)
            yield piece

    return answer


@cache
def bomb(mib: int) -> bytes:
    """Zeros, packed a thousand times as small."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mib)) + packer.flush()


def gzip_with(flags: int, rest: bytes) -> bytes:
    """A gzip file whose header has these flags, and what follows it."""
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + rest


# What does not give the file, in whatever it sends.
BAD: dict[str, Answer] = {
    # Odd headers
    "Content-Length is no number": raw(head("Content-Length: abc"), FILE),
    "Content-Length is negative": raw(head("Content-Length: -5"), FILE),
    "Content-Length is empty": raw(head("Content-Length:"), FILE),
    "Content-Length is a fraction": raw(head("Content-Length: 1e4"), FILE),
    "two Content-Lengths": raw(head(f"Content-Length: {len(FILE)}", "Content-Length: 7"), FILE),
    "two Content-Lengths in one": raw(head(f"Content-Length: {len(FILE)}, 7"), FILE),
    "Content-Length of thousands of digits": raw(head("Content-Length: " + "9" * 5000), FILE),
    "Content-Length too long": raw(head(length=len(FILE) + 1), FILE),
    "Content-Length too short": raw(head(length=len(FILE) - 1), FILE),
    "Content-Length of an exabyte": raw(head(length=10**18), FILE),
    "Content-Length of nothing": raw(head(length=0), FILE),
    "unknown Transfer-Encoding": raw(head("Transfer-Encoding: gzip, chunked"), chunks(gzip.compress(FILE))),
    "a header of 100,000 characters": raw(head("X-Long: " + "x" * 100_000, length=len(FILE)), FILE),
    "a thousand headers": raw(head(*(f"X-{i}: y" for i in range(1000)), length=len(FILE)), FILE),
    "a header without a colon": raw(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", b"x" * 100),
    "no status": raw(b"HTTP/1.1 \r\n\r\n", FILE),
    "a status that is no number": raw(b"HTTP/1.1 OK\r\n\r\n", FILE),
    "a status of many digits": raw(b"HTTP/1.1 20000000000000000 OK\r\n\r\n", FILE),
    "a status that commands a terminal": raw(b"\x1b]0;owned\x07\x1b[2J\r\n\r\n"),
    "a reason that commands a terminal": raw(head(status="404 \x1b[2J\x07", length=0)),
    "HTTP/9": raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    "the file without HTTP": raw(FILE),
    "random bytes": raw(random.Random(1).randbytes(10_000)),
    "zeros": raw(bytes(10_000)),
    "a partial answer": raw(
        head("Content-Range: bytes 0-99/50000", status="206 Partial Content", length=100), FILE[:100]
    ),
    "no content": raw(head(status="204 No Content")),
    "not modified": raw(head(status="304 Not Modified")),
    "too many requests": raw(head("Retry-After: 9999999", status="429 Too Many Requests", length=0)),
    "unavailable": raw(head(status="503 Service Unavailable", length=0)),
    "login wanted": raw(head('WWW-Authenticate: Basic realm="x"', status="401 Unauthorized", length=0)),
    # Redirections
    "redirection to a file": raw(head("Location: file:///etc/passwd", status="302 Found", length=0)),
    "redirection to FTP": raw(head("Location: ftp://127.0.0.1:1/x", status="302 Found", length=0)),
    "redirection to data": raw(head("Location: data:,x", status="302 Found", length=0)),
    "redirection to no address": raw(head("Location: http://[", status="302 Found", length=0)),
    "redirection to a port that is none": raw(head("Location: http://127.0.0.1:99999/", status="302 Found", length=0)),
    "redirection to a name too long": raw(head("Location: http://" + "a" * 300 + "/", status="302 Found", length=0)),
    "redirection with a line end": raw(head("Location: http://127.0.0.1:1/\tx y", status="302 Found", length=0)),
    "redirection to nowhere": raw(head(status="302 Found", length=0)),
    "redirection in a circle": raw(head("Location: /x", status="302 Found", length=0)),
    # The end
    "hangs up at once": raw(),
    "hangs up in a header": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "hangs up after the headers": raw(head(length=len(FILE))),
    "hangs up in the file": raw(head(length=len(FILE)), FILE[:30_000]),
    "hangs up in a file of unknown length": raw(head(), FILE[:-1]),
    "hangs up in a chunk": raw(head("Transfer-Encoding: chunked"), chunks(FILE)[:30_000]),
    "hangs up before the last chunk": raw(head("Transfer-Encoding: chunked"), chunks(FILE)[:-5]),
    "a chunk of a negative size": raw(head("Transfer-Encoding: chunked"), b"-5\r\nabcde\r\n"),
    "a chunk whose size is no number": raw(head("Transfer-Encoding: chunked"), b"size\r\nabcde\r\n"),
    "a chunk of an exabyte": raw(head("Transfer-Encoding: chunked"), b"de0b6b3a7640000\r\n", FILE),
    # Content
    "a web page": whole(b"<!DOCTYPE html><title>Log in</title>", "Content-Type: text/html"),
    "the content, not packed": whole(CONTENT),
    "packed twice": whole(gzip.compress(FILE), "Content-Encoding: gzip"),
    "packed by another method": whole(zlib.compress(CONTENT), "Content-Encoding: deflate"),
    "bytes behind the file": whole(FILE + b"x"),
    "a line end behind the file": whole(FILE + b"\r\n"),
    "half a file behind the file": whole(FILE + FILE[:20]),
    "the file twice": whole(FILE + FILE),
    "the file in upper case": whole(FILE.upper()),
    "a bomb": whole(bomb(45)),
    "a larger bomb": whole(bomb(150)),
    "a bomb behind half the file": whole(gzip.compress(CONTENT[:20_000]) + bomb(25)),
    "a false checksum in gzip": whole(FILE[:-8] + struct.pack("<II", 1, len(CONTENT))),
    "a false length in gzip": whole(FILE[:-4] + b"\xff\xff\xff\xff"),
    "a gzip header with a name without end": whole(gzip_with(8, b"x" * 5000)),
    "a gzip header with a field too long": whole(gzip_with(4, b"\xff\xff" + b"x" * 99)),
    "a gzip header that is cut off": whole(FILE[:6]),
    "a gzip header of another method": whole(b"\x1f\x8b\x07" + FILE[3:]),
    "a gzip header and no data": whole(gzip_with(0, b"")),
    "a gzip header and other data": whole(gzip_with(0, b"\xff" * 99)),
    "nothing": whole(b""),
    # Without end
    "a file without end": endless(head(), piece=FILE),
    "zeros without end, packed": endless(head(), bomb(150), piece=bytes(1 << 16)),
    "chunks without end": endless(head("Transfer-Encoding: chunked"), piece=b"1000\r\n" + bytes(4096) + b"\r\n"),
    "chunks of a byte without end": endless(head("Transfer-Encoding: chunked"), piece=b"1\r\nx\r\n" * 1000),
    "a mark of a chunk without end": endless(head("Transfer-Encoding: chunked"), piece=b"1;" + b"x" * (1 << 16)),
    "a status without end": endless(piece=b"x" * (1 << 16)),
    "headers without end": endless(b"HTTP/1.1 200 OK\r\n", piece=b"X-Header: y\r\n" * 1000),
    "patience asked for without end": endless(piece=head(status="100 Continue") * 100),
    "trailers without end": endless(head("Transfer-Encoding: chunked"), b"0\r\n", piece=b"X-Trailer: y\r\n" * 1000),
    "a page without end beside a redirection": endless(head("Location: /", status="302 Found"), piece=bytes(1 << 16)),
    "a page without end beside an error": endless(head(status="404 Not Found"), piece=bytes(1 << 16)),
}

# What gives it in hours.
SLOW: dict[str, Answer] = {
    "silence": slow(piece=b""),
    "a slow file": slow(head(length=len(FILE)), piece=FILE[:1]),
    "a slow status": slow(piece=b"H"),
    "slow headers": slow(b"HTTP/1.1 200 OK\r\n", piece=b"X"),
    "a slow header after the other": slow(b"HTTP/1.1 200 OK\r\n", piece=b"X-Header: y\r\n"),
    "patience asked for slowly": slow(piece=head(status="100 Continue")),
    "a slow mark of a chunk": slow(head("Transfer-Encoding: chunked"), piece=b"0"),
    "slow chunks": slow(head("Transfer-Encoding: chunked"), piece=b"1\r\nx\r\n"),
    "a slow page beside a redirection": slow(head("Location: /", status="302 Found"), piece=b"x"),
}

# What gives it, however oddly.
GOOD: dict[str, Answer] = {
    "whole": whole(),
    "of unknown length": raw(head(), FILE),
    "in chunks": raw(head("Transfer-Encoding: chunked"), chunks(FILE[:9], FILE[9:])),
    "in chunks of a byte": raw(head("Transfer-Encoding: chunked"), chunks(*(bytes([value]) for value in FILE))),
    "in chunks and with a false length": raw(head("Transfer-Encoding: chunked", length=7), chunks(FILE)),
    "with its encoding said": whole(FILE, "Content-Encoding: gzip"),
    "with an encoding that it has not": whole(FILE, "Content-Encoding: br"),
    "as a web page": whole(FILE, "Content-Type: text/html"),
    "in two gzip members": whole(gzip.compress(CONTENT[:99]) + gzip.compress(CONTENT[99:])),
    "not packed any smaller": whole(gzip.compress(CONTENT, 0)),
    "filled up with zeros": whole(FILE + bytes(100)),
    "after patience was asked for": raw(head(status="100 Continue"), head(length=len(FILE)), FILE),
    "in many pieces": lambda: iter([head(length=len(FILE)), *(FILE[i : i + 100] for i in range(0, len(FILE), 100))]),
    "in HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\n\r\n", FILE),
    "with line feeds alone": raw(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(FILE), FILE),
}

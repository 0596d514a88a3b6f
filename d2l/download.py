"""Download a file in bounded time and memory, whatever the server does, and unpack it so, wherever it comes from."""

import gzip
import http.client
import sys
import time
import urllib.request
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any

from tqdm import tqdm

TIMEOUT_SECONDS = 30  # without a byte
LEAST_BYTES_PER_SECOND = 50_000  # on the whole
# Beside the file: headers, redirections, and what frames the parts of an answer that comes in parts.
OVERHEAD_BYTES = 1 << 20
PART_BYTES = 1 << 16
GZIP = b"\x1f\x8b"  # what such a file begins with
SHOWN_BYTES = 15


@dataclass
class _Limits:
    """What is left of a download's time and bytes, over all connections that it takes."""

    deadline: float
    bytes_left: int

    def count(self, received: int) -> None:
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise OSError("the server sends more than the file can have")
        if time.monotonic() > self.deadline:
            raise TimeoutError("timed out: the file is not whole in time, the server sends too slowly")


class _Bounded(RawIOBase):
    """What comes from a connection, within limits.

    They hold for each read from the socket, as there is no end to the status lines, headers, marks of parts, and pages
    beside a redirection that `http.client` would read through on its own.
    """

    def __init__(self, raw: RawIOBase, limits: _Limits):
        self._raw = raw
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:
        received = self._raw.readinto(buffer)
        self._limits.count(received or 0)
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, limits: _Limits, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.fp = BufferedReader(_Bounded(self.fp.detach(), limits))


def _opener(limits: _Limits) -> urllib.request.OpenerDirector:
    """What opens addresses of the web, also through the proxy that the system says, and no others."""

    def connection(kind: type[http.client.HTTPConnection], *args: Any, **options: Any) -> http.client.HTTPConnection:
        made: Any = kind(*args, **options)
        made.response_class = partial(_Response, limits)
        return made

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(partial(connection, http.client.HTTPConnection), request)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(partial(connection, http.client.HTTPSConnection), request)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Plain(),
        Secure(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def download(url: str, most: int) -> bytes:
    """What an address of the web gives.

    It takes at most `TIMEOUT_SECONDS` without a byte, and on the whole these and the time that ``most`` bytes take at
    `LEAST_BYTES_PER_SECOND`.

    Args:
        url: The address; from it, only the web's are gone on to.
        most: Bytes that are accepted.

    Raises:
        Exception: They did not come whole, or more would have come, or not in time. The class is any: what is odd in an
            answer raises in whichever layer comes upon it.
    """
    seconds = TIMEOUT_SECONDS + most / LEAST_BYTES_PER_SECOND
    limits = _Limits(time.monotonic() + seconds, most + most // 8 + OVERHEAD_BYTES)
    with _opener(limits).open(url, timeout=TIMEOUT_SECONDS) as response:
        size = _announced(response, most)
        content = bytearray()
        label = url.rpartition("/")[2]
        with tqdm(total=size, unit="B", unit_scale=True, desc=label, file=sys.stderr, leave=False) as bar:
            while part := response.read1(PART_BYTES):
                content += part
                bar.update(len(part))
                if len(content) > most:
                    raise OSError(f"more than {most:,} bytes have come, the most that the file can have")
    if size is not None and len(content) != size:
        raise EOFError(f"the connection ended after {len(content):,} of {size:,} bytes")
    return bytes(content)


def _announced(response: http.client.HTTPResponse, most: int) -> int | None:
    """How many bytes an answer says that it has, if it does."""
    said = sorted(set(response.headers.get_all("Content-Length", [])))
    if response.chunked or not said:
        return None
    if len(said) > 1 or response.length is None:
        raise http.client.HTTPException(f"Content-Length is {' and '.join(map(repr, said))}")
    if response.length > most:
        raise OSError(f"the answer has {response.length:,} bytes: {most:,} are the most that the file can have")
    return response.length


def unpack(compressed: bytes, size: int) -> bytes:
    """The content of a gzip file, which has at most ``size`` bytes.

    Raises:
        gzip.BadGzipFile: It is no gzip file, or something else follows it.
        EOFError: It is cut off.
        zlib.error: It is damaged.
        ValueError: Its content has more bytes.
    """
    if compressed and not compressed.startswith(GZIP):
        raise gzip.BadGzipFile(f"the content is no gzip file, it begins with {compressed[:SHOWN_BYTES]!r}")
    with gzip.GzipFile(fileobj=BytesIO(compressed)) as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise ValueError(f"more than {size:,} bytes are packed in it")
    return content

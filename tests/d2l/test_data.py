"""The data files are found, checked, fetched and read; their images are resized exactly."""

import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from processes import TIME_LIMIT

from d2l import data_modules, download, fashion_mnist, input_checks
from d2l.batches import resize_matrix
from d2l.data_error import DataError
from d2l.smoke_profile import Profile

pytestmark = [pytest.mark.helper, pytest.mark.quick]

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = fashion_mnist.CHECKSUMS
FULL = Profile()
DEBIAN_FOLDER = fashion_mnist.SYSTEM_FOLDER


def idx(values):
    """An array as the content of an IDX file."""
    return b"\0\0\x08" + bytes([values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def made_up_set(seed, size=4):
    """Files of five training and three test images of ``size`` by ``size`` pixels, not compressed."""
    rng = np.random.default_rng(seed)
    contents = {}
    for images, labels, n in ((TRAIN_IMAGES, TRAIN_LABELS, 5), (TEST_IMAGES, TEST_LABELS, 3)):
        contents[images] = idx(rng.integers(0, 256, (n, size, size), np.uint8))
        contents[labels] = idx(rng.integers(0, 10, n, np.uint8))
    return contents


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write(folder, contents):
    """Write the files, compressed, as a user who has them would."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def assert_reads(contents, root):
    """Loading from the data folder ``root`` gives exactly these contents."""
    train, test = fashion_mnist.load_fashion_mnist(root, FULL)
    read = (train.images, train.labels, test.images, test.labels)
    for name, values in zip(fashion_mnist.CHECKSUMS, read, strict=True):
        assert idx(values) == contents[name], name


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A machine with nothing on it: no data, no system copy, no network."""
    monkeypatch.delenv("D2L_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", ())
    return tmp_path


@pytest.fixture
def contents(folders, monkeypatch):
    """The contents that have the right checksums."""
    contents = made_up_set(seed=1)
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", {name: sha256(content) for name, content in contents.items()})
    return contents


class Server:
    """A web server on this machine; ``requests`` holds what it was asked for.

    ``pages`` maps a path to a function that writes the answer with the request handler given to it.
    """

    def __init__(self):
        self.pages = {}
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                outer.pages.get(self.path, lambda handler: handler.send_error(404))(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def offer(self, place, contents):
        """Serve compressed files under ``/place``; returns that address."""
        for name, content in contents.items():
            self.pages[f"/{place}/{name}.gz"] = whole(gzip.compress(content))
        return f"{self.address}/{place}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def head(handler, length=None, **headers):
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def whole(body):
    """An answer with this body."""

    def answer(handler):
        head(handler, len(body))
        handler.wfile.write(body)

    return answer


def cut(body):
    """An answer whose connection ends half-way."""

    def answer(handler):
        head(handler, len(body))
        handler.wfile.write(body[: len(body) // 2])

    return answer


def cut_without_length(body):
    """The same from a server that does not say how much it will send."""

    def answer(handler):
        head(handler)
        handler.wfile.write(body[: len(body) // 2])

    return answer


def cut_chunk(body):
    """The same from a server that sends in chunks."""

    def answer(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        head(handler, Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n" % len(body) + body[: len(body) // 2])

    return answer


def no_http(body):
    """Something that is no web server."""

    def answer(handler):
        handler.wfile.write(b"220 mail.example ESMTP\r\n")

    return answer


def no_answer(body):
    """A server that hangs up."""
    return lambda handler: None


def html(body):
    """The page of a hotel's network that wants a login first."""
    return whole(b"<!DOCTYPE html><title>Welcome, please log in</title>")


def altered(body):
    """A file that was compressed properly, with one pixel changed."""
    content = bytearray(gzip.decompress(body))
    content[-1] ^= 1
    return whole(gzip.compress(bytes(content)))


def truncated(body):
    """A file that was cut before it came to the server."""
    return whole(body[:-10])


def empty(body):
    return whole(b"")


def missing(body):
    return lambda handler: handler.send_error(404)


BAD_ANSWERS = (
    cut,
    cut_without_length,
    cut_chunk,
    no_http,
    no_answer,
    html,
    altered,
    truncated,
    empty,
    missing,
)


def damage(path, how):
    """Damage a compressed file on disk; returns its bytes."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "altered":
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[-1] ^= 1
        path.write_bytes(gzip.compress(bytes(content)))
    elif how == "flipped":
        # A bit inside the compressed stream, which may fail in the decompressor itself.
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 0xFF
        path.write_bytes(bytes(body))
    elif how == "html":
        path.write_bytes(b"<!DOCTYPE html>")
    else:
        path.write_bytes(b"")
    return path.read_bytes()


DAMAGES = ("truncated", "altered", "flipped", "html", "empty")


def no_leftovers(folder):
    """All files are data files or locks: no part of a download stayed."""
    return all(path.suffix in {".gz", ".lock"} for path in folder.rglob("*") if path.is_file())


# Where files are looked for


@pytest.mark.parametrize("inside", ["", "fashion-mnist"])
def test_data_folder_comes_before_system_and_download(folders, contents, server, monkeypatch, inside):
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    write(folders / "root" / inside, contents)
    write(fashion_mnist.SYSTEM_FOLDER, made_up_set(seed=2))
    assert_reads(contents, folders / "root")
    assert server.requests == []


def test_d2l_data_goes_before_the_argument(folders, contents, monkeypatch):
    write(folders / "mine", contents)
    write(folders / "root", made_up_set(seed=2))
    monkeypatch.setenv("D2L_DATA", str(folders / "mine"))
    assert_reads(contents, folders / "root")


@pytest.mark.parametrize("d2l_data", [None, "~/root"])
def test_home_folder_is_found(folders, contents, monkeypatch, d2l_data):
    write(folders / "root", contents)
    monkeypatch.setenv("HOME", str(folders))
    if d2l_data:
        monkeypatch.setenv("D2L_DATA", d2l_data)
    assert_reads(contents, "elsewhere" if d2l_data else "~/root")


def test_empty_d2l_data_counts_as_unset(folders, contents, monkeypatch):
    write(folders / "root", contents)
    monkeypatch.setenv("D2L_DATA", "")
    assert_reads(contents, folders / "root")


def test_system_copy_comes_before_download_and_is_not_copied(folders, contents, server, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    write(fashion_mnist.SYSTEM_FOLDER, contents)
    assert_reads(contents, folders / "root")
    assert server.requests == []
    assert not (folders / "root").exists()


def test_files_may_come_from_different_places(folders, contents, server, monkeypatch):
    write(folders / "root", {TRAIN_IMAGES: contents[TRAIN_IMAGES]})
    write(fashion_mnist.SYSTEM_FOLDER, {TRAIN_LABELS: contents[TRAIN_LABELS]})
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    assert_reads(contents, folders / "root")
    assert server.requests == [f"/a/{TEST_IMAGES}.gz", f"/a/{TEST_LABELS}.gz"]


def test_download_is_kept_for_the_next_run(folders, contents, server, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    for _ in range(2):
        assert_reads(contents, folders / "root")
    assert sorted(server.requests) == sorted(f"/a/{name}.gz" for name in contents)
    assert no_leftovers(folders)


def test_no_network_and_no_data_lists_every_place(folders, contents, monkeypatch):
    # Nothing listens on port 1 of this machine.
    addresses = ("http://127.0.0.1:1/first", "http://127.0.0.1:1/second")
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", addresses)
    monkeypatch.setenv("D2L_DATA", str(folders / "mine"))
    with pytest.raises(DataError) as caught:
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    file = f"{TRAIN_IMAGES}.gz"
    places = [folders / "mine" / "fashion-mnist", folders / "mine", fashion_mnist.SYSTEM_FOLDER, *addresses]
    for place in places:
        assert f"{place}/{file}" in str(caught.value)
    assert "dataset-fashion-mnist" in str(caught.value)
    assert "D2L_DATA" in str(caught.value)


def test_smoke_run_uses_the_sample_and_nothing_else(folders, monkeypatch):
    train, test = fashion_mnist.load_fashion_mnist(folders / "root", Profile(smoke=True, epochs=2))
    assert train.images.shape[1:] == test.images.shape[1:] == (28, 28)
    assert 0 < len(test) <= len(train) <= 1000
    assert not (folders / "root").exists()


def test_full_run_never_falls_back_to_the_sample(folders):
    with pytest.raises(DataError):
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)


# Damaged files and downloads


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_file_without_network_is_named_and_left_alone(folders, contents, capsys, how):
    write(folders / "root", contents)
    path = folders / "root" / f"{TEST_LABELS}.gz"
    before = damage(path, how)
    with pytest.raises(DataError) as caught:
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    for text in (str(caught.value), capsys.readouterr().err):
        assert str(path) in text
        assert fashion_mnist.CHECKSUMS[TEST_LABELS] in text
        if how == "altered":
            assert sha256(gzip.decompress(before)) in text
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_file_is_replaced_by_a_whole_download(folders, contents, server, monkeypatch, how):
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    folder = folders / "root" / "fashion-mnist"
    write(folder, contents)
    path = folder / f"{TEST_LABELS}.gz"
    damage(path, how)
    assert_reads(contents, folders / "root")
    assert server.requests == [f"/a/{TEST_LABELS}.gz"]
    assert gzip.decompress(path.read_bytes()) == contents[TEST_LABELS]
    assert no_leftovers(folders)


def test_damaged_file_is_passed_over_for_the_system_copy(folders, contents):
    write(folders / "root", contents)
    write(fashion_mnist.SYSTEM_FOLDER, contents)
    damage(folders / "root" / f"{TRAIN_LABELS}.gz", "truncated")
    assert_reads(contents, folders / "root")


def said_of(error, place):
    """The line of an error that is about a place."""
    (line,) = (line for line in str(error).splitlines() if f"{place}: " in line)
    return line.strip()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(
            cut,
            r"the connection ended after \d+ of \d+ bytes",
            marks=pytest.mark.fault("The download is cut off in the middle"),
        ),
        (cut_without_length, "ended before the end-of-stream marker"),
        (cut_chunk, "IncompleteRead"),
        (no_http, "220 mail.example ESMTP"),
        (no_answer, "closed connection without response"),
        pytest.param(
            html,
            r"the content is no gzip file, it begins with b'<!",
            marks=pytest.mark.fault("The server answers with an HTML page, such as a hotel's login"),
        ),
        pytest.param(
            altered,
            "SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}",
            marks=pytest.mark.fault("The file that the server sends has another checksum"),
        ),
        (truncated, "ended before the end-of-stream marker"),
        (empty, "SHA-256 is e3b0c442"),  # of nothing
        (missing, "HTTP Error 404"),
    ],
)
def test_bad_download_changes_nothing(folders, contents, server, monkeypatch, sees, bad, reason):
    """The reason is given beside the address, and a damaged file that was there is not touched."""
    address = server.offer("a", contents)
    body = gzip.compress(contents[TRAIN_IMAGES])
    server.pages[f"/a/{TRAIN_IMAGES}.gz"] = bad(body)
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (address,))
    folder = folders / "root" / "fashion-mnist"
    write(folder, contents)
    path = folder / f"{TRAIN_IMAGES}.gz"
    before = damage(path, "truncated")
    with pytest.raises(DataError) as caught:
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    said = said_of(caught.value, f"{address}/{TRAIN_IMAGES}.gz")
    assert re.search(reason, said)
    if bad is altered:
        assert fashion_mnist.CHECKSUMS[TRAIN_IMAGES] in said
    assert path.read_bytes() == before
    assert no_leftovers(folders)
    sees(re.sub(r"\d+ of \d+ bytes", "… of … bytes", said))


@pytest.mark.fault("The server stops sending in the middle")
def test_download_that_stands_still_is_given_up(folders, contents, server, monkeypatch, sees):
    given_up = threading.Event()

    def stall(handler):
        cut(gzip.compress(contents[TRAIN_IMAGES]))(handler)
        handler.wfile.flush()
        given_up.wait(timeout=TIME_LIMIT)

    address = server.offer("a", contents)
    server.pages[f"/a/{TRAIN_IMAGES}.gz"] = stall
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (address,))
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(DataError) as caught:
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    given_up.set()
    said = said_of(caught.value, f"{address}/{TRAIN_IMAGES}.gz")
    assert "timed out" in said
    assert no_leftovers(folders)
    sees(said)


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_second_address_is_tried_after_a_bad_first(folders, contents, server, monkeypatch, bad):
    first, second = server.offer("first", contents), server.offer("second", contents)
    server.pages[f"/first/{TEST_IMAGES}.gz"] = bad(gzip.compress(contents[TEST_IMAGES]))
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (first, second))
    assert_reads(contents, folders / "root")
    assert [path for path in server.requests if "second" in path] == [f"/second/{TEST_IMAGES}.gz"]
    assert no_leftovers(folders)


def test_target_is_not_there_before_the_download_is_whole(folders, contents, server, monkeypatch):
    address = server.offer("a", contents)
    target = folders / "root" / "fashion-mnist" / f"{TRAIN_IMAGES}.gz"
    body = gzip.compress(contents[TRAIN_IMAGES])
    seen = []

    def slow(handler):
        head(handler, len(body))
        handler.wfile.write(body[:20])
        handler.wfile.flush()
        seen.append(target.exists())
        handler.wfile.write(body[20:])

    server.pages[f"/a/{TRAIN_IMAGES}.gz"] = slow
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (address,))
    assert_reads(contents, folders / "root")
    assert seen == [False]


def full(opened, path, mode):
    """A new file on a disk that takes nothing more."""
    return opened("/dev/full", "wb")


@pytest.mark.fault("The disk is full")
def test_full_disk_leaves_the_old_file(folders, contents, server, monkeypatch, sees):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, which takes nothing as a full disk does")
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    folder = folders / "root" / "fashion-mnist"
    write(folder, contents)
    path = folder / f"{TRAIN_IMAGES}.gz"
    before = damage(path, "truncated")
    monkeypatch.setattr(fashion_mnist, "open", partial(full, open), raising=False)
    with pytest.raises(DataError) as caught:
        fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    assert path.read_bytes() == before
    assert no_leftovers(folders)
    sees(said_of(caught.value, f"downloading into {folder}"))


def test_link_in_the_place_of_a_part_is_not_followed(folders, contents, server, monkeypatch):
    """Who may write into a shared data folder could else have another's file overwritten."""
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.offer("a", contents),))
    folder = folders / "root" / "fashion-mnist"
    folder.mkdir(parents=True)
    (folders / "thesis.txt").write_text("years of work")
    (folder / f"{TRAIN_IMAGES}.part").symlink_to(folders / "thesis.txt")
    assert_reads(contents, folders / "root")
    assert (folders / "thesis.txt").read_text("utf-8") == "years of work"
    assert no_leftovers(folder)


FETCH = """
import sys, urllib.request
from pathlib import Path
from d2l import fashion_mnist
from d2l.smoke_profile import Profile

address, folder, *checksums = sys.argv[1:]

class AnnouncedLock(fashion_mnist.FileLock):
    def acquire(self, *args, **kwargs):
        urllib.request.urlopen(address + "/waiting").read()
        return super().acquire(*args, **kwargs)

fashion_mnist.FileLock = AnnouncedLock
fashion_mnist.SYSTEM_FOLDER = Path(folder, "system")
fashion_mnist.ADDRESSES = (address + "/a",)
fashion_mnist.CHECKSUMS = dict(zip(fashion_mnist.CHECKSUMS, checksums, strict=True))
train, test = fashion_mnist.load_fashion_mnist(Path(folder, "root"), Profile())
print(len(train), len(test))
"""


def fetching(server, folders, contents):
    """The command that loads the data in a process of its own."""
    return [sys.executable, "-c", FETCH, server.address, str(folders), *map(sha256, contents.values())]


@pytest.mark.slow
@pytest.mark.fault("Two processes want the data at once")
def test_two_processes_download_once(folders, contents, server, monkeypatch, sees):
    """No file is sent before both processes have found it missing and ask for the lock."""
    server.offer("a", contents)
    both_wait = threading.Barrier(2)
    arrived = threading.Event()

    def waiting(handler):
        if not arrived.is_set():
            both_wait.wait(timeout=TIME_LIMIT)
            arrived.set()
        whole(b"")(handler)

    def after_both(answer):
        def wait_and_answer(handler):
            arrived.wait(timeout=TIME_LIMIT)
            answer(handler)

        return wait_and_answer

    server.pages = {path: after_both(answer) for path, answer in server.pages.items()}
    server.pages["/waiting"] = waiting
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    command = fetching(server, folders, contents)
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=TIME_LIMIT)[0] for process in processes] == ["5 3\n", "5 3\n"]
    fetched = [path for path in server.requests if path != "/waiting"]
    assert sorted(fetched) == sorted(f"/a/{name}.gz" for name in contents)
    assert no_leftovers(folders)
    sees("no error: one downloads, the other waits for it and reads what has come")


@pytest.mark.slow
@pytest.mark.fault("A process is killed while it holds the lock and downloads")
def test_process_killed_in_its_download_leaves_it_to_the_next(folders, contents, server, monkeypatch, sees):
    """Killed like this, a process cleans nothing up: what an earlier one had written in part lies there too."""
    server.offer("a", contents)
    file = f"/a/{TRAIN_IMAGES}.gz"
    answer, half_sent, killed, second_asks = server.pages[file], *(threading.Event() for _ in range(3))

    def half(handler):
        server.pages[file] = answer
        cut(gzip.compress(contents[TRAIN_IMAGES]))(handler)
        handler.wfile.flush()
        half_sent.set()
        killed.wait(timeout=TIME_LIMIT)

    def waiting(handler):
        if half_sent.is_set():
            second_asks.set()
        whole(b"")(handler)

    server.pages |= {file: half, "/waiting": waiting}
    folder = folders / "root" / "fashion-mnist"
    folder.mkdir(parents=True)
    (folder / f"{TRAIN_IMAGES}.part").write_bytes(b"half of a file")
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    command = fetching(server, folders, contents)
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert half_sent.wait(timeout=TIME_LIMIT)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert second_asks.wait(timeout=TIME_LIMIT)
    assert server.requests.count(file) == 1
    first.kill()
    first.wait()
    killed.set()
    assert second.communicate(timeout=TIME_LIMIT)[0] == "5 3\n"
    assert server.requests.count(file) == 2
    assert no_leftovers(folders)
    sees("no error: the lock goes with the process, and the next one downloads the file anew")


def unshared(options, *command):
    """The command, to be run in a namespace of its own; skips the test where the system does not make one."""
    program = shutil.which("unshare")
    if program is None or subprocess.run([program, *options, "true"], capture_output=True).returncode:
        pytest.skip(f"needs a system on which one may run: unshare {' '.join(options)}")
    return [program, *options, *command]


def run_as_a_user(command):
    """Run a command as a user who may not write everywhere, also where the tests run as root."""
    if os.geteuid() == 0:
        command = unshared(("--map-user=1000",), *command)
    return subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)


def run_where_mounted(place, options, command):
    """Run a command where ``mount`` has put something at ``place``, and list the files there at the end.

    Returns:
        The lines that the command wrote to standard error, and the names of the files.
    """
    place.mkdir(exist_ok=True)
    folder = shlex.quote(str(place))
    script = f"mount {options} {folder} && {{ {shlex.join(command)}; find {folder} -type f -printf '%f\\n'; }}"
    shell = unshared(("--map-root-user", "--mount"), "sh", "-c", script)
    done = subprocess.run(shell, capture_output=True, text=True, timeout=TIME_LIMIT)
    return done.stderr.splitlines(), done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.fault("The disk is full")
def test_file_system_that_fills_up_keeps_no_part_of_a_file(folders, server, monkeypatch, sees):
    contents = made_up_set(seed=1, size=100)
    server.offer("a", contents)
    server.pages["/waiting"] = whole(b"")
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    root = folders / "root"
    stderr, files = run_where_mounted(root, "-t tmpfs -o size=32k tmpfs", fetching(server, folders, contents))
    said = said_of("\n".join(stderr), f"downloading into {root / 'fashion-mnist'}")
    assert "No space left on device" in said
    assert files == [f"{TRAIN_IMAGES}.lock"]
    sees(said)


@pytest.mark.slow
@pytest.mark.fault("The data folder is read-only")
def test_folder_without_permission_to_write_is_named(folders, contents, server, monkeypatch, sees):
    server.offer("a", contents)
    server.pages["/waiting"] = whole(b"")
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    root = folders / "root"
    root.mkdir(mode=0o555)
    stderr = run_as_a_user(fetching(server, folders, contents)).stderr
    said = said_of(stderr, f"downloading into {root / 'fashion-mnist'}")
    assert "Permission denied" in said
    assert list(root.iterdir()) == []
    sees(said)


@pytest.mark.slow
def test_folder_that_others_may_not_look_into_is_passed_over(folders, contents, server, monkeypatch):
    server.offer("a", contents)
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    write(folders / "system", contents)
    (folders / "root").mkdir(mode=0o000)
    assert run_as_a_user(fetching(server, folders, contents)).stdout == "5 3\n"
    assert server.requests == []


@pytest.mark.slow
def test_folder_mounted_read_only_is_named(folders, contents, server, monkeypatch):
    server.offer("a", contents)
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    root = folders / "root"
    stderr, _ = run_where_mounted(root, "-t tmpfs -o ro tmpfs", fetching(server, folders, contents))
    assert "Read-only file system" in said_of("\n".join(stderr), f"downloading into {root / 'fashion-mnist'}")
    assert server.requests == []


@pytest.mark.slow
@pytest.mark.fault("The data folder is read-only")
def test_data_in_a_read_only_folder_are_read(folders, contents, server, monkeypatch):
    monkeypatch.delenv("D2L_PROFILE", raising=False)
    root = folders / "root"
    write(root, contents)
    root.chmod(0o555)
    assert run_as_a_user(fetching(server, folders, contents)).stdout == "5 3\n"
    assert server.requests == []
    assert len(list(root.iterdir())) == len(contents)


# What is in the files


@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 4)])
def test_read_idx_gives_values_and_shape(shape):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    read = fashion_mnist.read_idx(idx(values))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"<!DOCTYPE html>",
        b"\0\0\x0d\1" + b"\0\0\0\1" + bytes(4),  # of floats
        b"\0\0\x08\3" + b"\0\0\0\1",  # ends inside of the header
        b"\0\0\x08\3" + b"\0\0\0\1\0",
        b"\0\0\x08\4" + 4 * b"\0\1\0\0",  # 2⁶⁴ values, which are none if 64 bits count them
        b"\0\0\x08\xff",
        idx(np.zeros((2, 3), np.uint8))[:-1],
        idx(np.zeros((2, 3), np.uint8)) + b"\0",
    ],
)
def test_read_idx_refuses_what_is_none(content):
    with pytest.raises(ValueError):
        fashion_mnist.read_idx(content)


def test_images_limit_of_the_profile_shortens_both_sets(folders, contents):
    write(folders / "root", contents)
    limited = fashion_mnist.load_fashion_mnist(folders / "root", Profile(images=2))
    whole = fashion_mnist.load_fashion_mnist(folders / "root", FULL)
    for few, all_of_them in zip(limited, whole, strict=True):
        np.testing.assert_array_equal(few.images, all_of_them.images[:2])
        np.testing.assert_array_equal(few.labels, all_of_them.labels[:2])


def test_limit_above_the_number_of_images_takes_all(folders, contents):
    write(folders / "root", contents)
    assert len(fashion_mnist.load_fashion_mnist(folders / "root", Profile(images=100))[0]) == 5


@pytest.fixture(scope="module")
def full_set(tmp_path_factory):
    """The real training and test set of Debian's package."""
    if not all((DEBIAN_FOLDER / f"{name}.gz").exists() for name in fashion_mnist.CHECKSUMS):
        pytest.skip(f"needs the Debian package dataset-fashion-mnist: {DEBIAN_FOLDER} lacks its files")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("D2L_DATA", raising=False)
        patch.setattr(fashion_mnist, "ADDRESSES", ())
        return fashion_mnist.load_fashion_mnist(tmp_path_factory.mktemp("empty"), FULL)


def test_full_set_is_all_of_fashion_mnist(full_set):
    for images, n in zip(full_set, (60_000, 10_000), strict=True):
        assert images.images.shape == (n, 28, 28)
        np.testing.assert_array_equal(np.bincount(images.labels), [n // 10] * 10)


def test_sample_is_the_beginning_of_the_full_set(full_set, tmp_path):
    sample = fashion_mnist.load_fashion_mnist(tmp_path, Profile(smoke=True))
    for small, large in zip(sample, full_set, strict=True):
        np.testing.assert_array_equal(small.images, large.images[: len(small)])
        np.testing.assert_array_equal(small.labels, large.labels[: len(small)])


# Sizes


@pytest.mark.parametrize("original", [1, 2, 5, 28])
@pytest.mark.parametrize("size", [1, 3, 28, 29, 96, 224])
def test_resize_matrix_is_bilinear_with_half_pixel_centres(size, original):
    torch = pytest.importorskip("torch", reason="needs PyTorch as an independent reference")
    image = np.random.default_rng(0).random((original, original))  # float64, as PyTorch's float32 is not exact enough
    rows, columns = resize_matrix(size, original), resize_matrix(2 * size, original)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=(size, 2 * size), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(rows @ image @ columns.T, expected, rtol=0, atol=1e-6)


def test_resize_matrix_to_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize_matrix(28, 28), np.eye(28))


@pytest.mark.parametrize("size", [(224, 224), [28, 32], (np.int64(5), np.int32(6))])
def test_check_size_gives_a_pair_of_int(size):
    checked = input_checks.check_size(size)
    assert checked == tuple(size)
    assert [type(n) for n in checked] == [int, int]


@pytest.mark.parametrize(
    "size",
    [
        224,
        None,
        "ab",
        "55",
        (),
        (224,),
        (1, 2, 3),
        (0, 5),
        (5, -1),
        (2.5, 3),
        (28.0, 28.0),
        (True, 5),
        ("5", "6"),
        {5, 6},
    ],
)
@pytest.mark.parametrize("check", [input_checks.check_size, lambda size: data_modules.FashionMNIST(resize=size)])
def test_bad_size_is_named(check, size):
    with pytest.raises(ValueError, match="two positive integers") as caught:
        check(size)
    assert repr(size) in str(caught.value)

"""Whatever a server answers, the next address is asked, in bounded time and memory; files on disk are bounded, too."""

import gzip
import hashlib
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
import servers

from d2l import download, fashion_mnist
from d2l.data_error import DataError

NAME = next(iter(fashion_mnist.CHECKSUMS))
SENT = 16 << 20  # bytes, which systems hold back on the way between two programs
MEMORY = 8 << 20  # bytes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A machine with nothing on it, and a file that is wanted."""
    monkeypatch.delenv("D2L_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", {NAME: hashlib.sha256(servers.CONTENT).hexdigest()})
    monkeypatch.setattr(fashion_mnist, "SIZES", {NAME: len(servers.CONTENT)})
    return tmp_path / "data"


def found(folder):
    """The file that is found, or what is said; and the most memory that it took."""
    tracemalloc.start()
    try:
        content = fashion_mnist._find(NAME, folder)
    except Exception as error:
        content = error
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return content, peak


def remove(folder):
    """Remove the file, and see that nothing else has stayed there."""
    (folder / "fashion-mnist" / f"{NAME}.gz").unlink(missing_ok=True)
    return [path.name for path in (folder / "fashion-mnist").iterdir() if path.suffix != ".lock"]


@pytest.mark.fault("The server's answer is odd, false or without end")
def test_odd_answer_leads_to_the_next_address(folder, monkeypatch, sees):
    """With its reason in one line, which commands no terminal, and without the bytes that a server would send."""
    wrong = []
    good = servers.Server(servers.whole())
    for name, answer in servers.BAD.items():
        bad = servers.Server(answer)
        monkeypatch.setattr(fashion_mnist, "ADDRESSES", (bad.address, good.address))
        content, peak = found(folder)
        left = remove(folder)
        monkeypatch.setattr(fashion_mnist, "ADDRESSES", (bad.address,))
        error, again = found(folder)
        bad.close()
        lines = [line for line in str(error).splitlines() if bad.address in line]
        if content != servers.CONTENT:
            wrong.append(f"{name}: the next address was not asked: {content!r:.300}")
        elif not isinstance(error, DataError) or len(lines) != 1 or not lines[0].isprintable():
            wrong.append(f"{name}: {error!r:.300}")
        elif bad.sent > SENT or max(peak, again) > MEMORY:
            wrong.append(f"{name}: {bad.sent:,} bytes were sent, {max(peak, again):,} bytes taken")
        elif left or remove(folder):
            wrong.append(f"{name}: left behind {left}")
        if name == "a file without end":
            sees(lines[0].replace(NAME, "FILE"))
    good.close()
    assert len(servers.BAD) >= 60
    assert not wrong, "\n".join(wrong)


@pytest.mark.fault("The server sends, but so slowly that the file would take hours")
def test_answer_that_is_too_slow_on_the_whole_is_given_up(folder, monkeypatch, sees):
    """Though it never lets anybody wait long for the next byte, of whatever part of it."""
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 2)
    monkeypatch.setattr(download, "LEAST_BYTES_PER_SECOND", 1e6)
    bad = {name: servers.Server(answer) for name, answer in servers.SLOW.items()}
    good = servers.Server(servers.whole())

    def said(server):
        try:
            return download.download(f"{server.address}/x", len(servers.FILE))
        except Exception as error:
            return str(error)

    with ThreadPoolExecutor(len(bad)) as pool:
        answers = dict(zip(bad, pool.map(said, bad.values()), strict=True))
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (bad["a slow file"].address, good.address))
    content, _ = found(folder)
    for server in (good, *bad.values()):
        server.close()
    assert content == servers.CONTENT
    assert {name: answer for name, answer in answers.items() if "timed out" not in answer} == {}
    sees(answers["a slow file"])


def test_odd_answer_that_has_the_file_gives_it(folder, monkeypatch):
    wrong = []
    for name, answer in servers.GOOD.items():
        server = servers.Server(answer)
        monkeypatch.setattr(fashion_mnist, "ADDRESSES", (server.address,))
        content, _ = found(folder)
        server.close()
        if content != servers.CONTENT:
            wrong.append(f"{name}: {content!r:.500}")
        remove(folder)
    assert not wrong, "\n".join(wrong)


def test_redirections_lead_to_the_file(folder, monkeypatch):
    good = servers.Server(servers.whole())
    hosts = [good]
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        location = f"Location: {hosts[-1].address}/x"
        hosts.append(servers.Server(servers.raw(servers.head(location, status=status, length=0))))
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", (hosts[-1].address,))
    content, _ = found(folder)
    for server in hosts:
        server.close()
    assert content == servers.CONTENT


def test_https_is_asked_first_and_each_address_once():
    kinds = [address.partition(":")[0] for address in fashion_mnist.ADDRESSES]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[0] == "https"


def test_size_that_is_known_is_that_of_the_content():
    for name, path in ((name, fashion_mnist.SYSTEM_FOLDER / f"{name}.gz") for name in fashion_mnist.SIZES):
        if not path.exists():
            pytest.skip(f"needs the Debian package dataset-fashion-mnist: {path} is not there")
        assert len(gzip.decompress(path.read_bytes())) == fashion_mnist.SIZES[name]


@pytest.mark.fault("What lies in the data folder is no file of it: a bomb, a folder, a pipe, a device, far too large")
def test_file_on_disk_that_is_none_is_passed_over_in_bounded_memory(folder, monkeypatch, sees, capsys):
    own = folder / "fashion-mnist" / f"{NAME}.gz"
    own.parent.mkdir(parents=True)

    def huge():
        with open(own, "wb") as file:
            file.truncate(1 << 36)

    kinds = {
        "a folder": own.mkdir,
        "a pipe": lambda: os.mkfifo(own),
        "a device without end": lambda: own.symlink_to("/dev/zero"),
        "a link in a circle": lambda: own.symlink_to(own),
        "64 GiB of nothing": huge,
        "a bomb": lambda: own.write_bytes(servers.bomb(45)),
        "a larger bomb": lambda: own.write_bytes(servers.bomb(150)),
        "bytes behind the file": lambda: own.write_bytes(servers.FILE + b"x"),
        "nothing": lambda: own.write_bytes(b""),
        "half a file": lambda: own.write_bytes(servers.FILE[:20_000]),
    }
    system = fashion_mnist.SYSTEM_FOLDER / f"{NAME}.gz"
    system.parent.mkdir()
    system.write_bytes(servers.FILE)
    wrong = []
    monkeypatch.setattr(fashion_mnist, "ADDRESSES", ())
    for name, make in kinds.items():
        make()
        content, peak = found(folder)
        said = capsys.readouterr().err
        if content != servers.CONTENT or peak > MEMORY or (str(own) not in said and name != "a link in a circle"):
            wrong.append(f"{name}: {content!r:.300}, {peak:,} bytes taken, said: {said}")
        if name == "a bomb":
            sees(said)
        own.rmdir() if own.is_dir() else own.unlink()
    assert not wrong, "\n".join(wrong)

"""Of a shard that is cut off or lies, an error that names it is all that comes; shards of common writers are read."""

import random
import shutil
import tracemalloc

import pytest
import shards

from d2l.data_error import DataError
from d2l.decoding import CorruptImageError, load
from d2l.image_folders import list_images
from d2l.smoke_profile import Profile

MEMORY = 16 << 20  # bytes, for whatever a shard says


@pytest.fixture
def root(tmp_path):
    """A folder with a good shard to train on and one to validate on."""
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "0.tar").write_bytes(shards.written(shards.members()))
    return tmp_path


def write(path, shard):
    with open(path, "wb") as file:
        file.write(shard.content)
        if shard.length:
            file.truncate(shard.length)


def listed(root):
    """What is said of a folder, or the number of training images."""
    try:
        return len(list_images(root, Profile(), say=lambda line: None)[1])
    except DataError as error:
        return str(error)
    except Exception as error:  # is what the test is about
        return repr(error)


@pytest.mark.fault("A shard is cut off anywhere, or its headers lie")
def test_shard_that_is_cut_off_or_lies_is_one_error_that_names_it(root, sees):
    """In little memory: neither a size nor a chain of headers that a shard claims is believed."""
    path = root / "train" / "bad.tar"
    wrong = []
    cases = shards.bad()
    tracemalloc.start()
    for shard in cases:
        write(path, shard)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        said = listed(root)
        _, peak = tracemalloc.get_traced_memory()
        if not (isinstance(said, str) and said.startswith(f"{path}: ") and shard.said in said and said.isprintable()):
            wrong.append(f"{shard.name}: {said}")
        elif peak - before > MEMORY:
            wrong.append(f"{shard.name}: took {peak - before:,} bytes")
        if shard.name == "x.jpg of -512 bytes":
            sees(f"DataError: {said}")
    tracemalloc.stop()
    assert len(cases) >= 300
    assert not wrong, "\n".join(wrong)


def test_shards_of_common_writers_are_read(root, tmp_path):
    found = {}
    for name, path in shards.good(tmp_path / "good"):
        shutil.copy(path, root / "train" / "0.tar")
        found[name] = listed(root)
    assert len(found) >= 10
    assert {name: said for name, said in found.items() if said != 3} == {}


def test_images_are_read_where_they_lie(root, tmp_path):
    for _, path in shards.good(tmp_path / "good"):
        shutil.copy(path, root / "train" / "0.tar")
        _, train, _ = list_images(root, Profile(), say=lambda line: None)
        assert sorted(content for content, _ in map(train.__getitem__, range(3))) == sorted(map(shards.image, range(3)))


def test_names_of_members_command_no_terminal(root):
    """They are shown in messages; who makes a shard chooses them."""
    members = [("\x1b]0;owned\x07\u202e.jpg", b"x"), ("\x1b]0;owned\x07\u202e.cls", b"0"), ("a\nb.jpg", b"x")]
    (root / "train" / "1.tar").write_bytes(shards.written(members, shards.tarfile.PAX_FORMAT))
    said = listed(root)
    assert r"1.tar: a\nb.jpg has no label" in said
    assert said.isprintable()


def test_shard_that_is_cut_off_after_it_was_listed_has_corrupt_images(root):
    _, train, _ = list_images(root, Profile())
    path = root / "train" / "0.tar"
    content = path.read_bytes()
    for length in random.Random(0).sample(range(train.examples[2].start + 700), 20):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptImageError, match=r"0\.tar: 2\.jpg: cut off after \d+ of 700 bytes"):
            load(train.examples[2], 32)

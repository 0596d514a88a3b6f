"""Image folders and shards: what is found in them, what of an image is seen, and how its batches come about."""

import gzip
import io
import random
import signal
import struct
import threading
import zlib
from concurrent.futures import Executor, Future

import numpy as np
import pytest
from photographs import (
    CLASSES,
    HEIGHT,
    WIDTH,
    central_square,
    encoded,
    photograph,
    view,
    write_folder,
    write_shard,
    write_shards,
)
from PIL import Image

from d2l import images
from d2l.data import DataError
from d2l.images import MEAN, ImageLoader, decode, list_images
from d2l.profile import Profile
from d2l.workers import Workers

FULL = Profile()


def loader(image_set, seed=None, batch_size=4, resize=64, crop=56, augment=True, num_workers=2, make_batch=None):
    """Batches of an image set as arrays."""
    draw_seed = None if seed is None else lambda: seed
    as_it_is = lambda *arrays: arrays  # noqa: E731
    return ImageLoader(
        image_set, batch_size, Workers(), resize, crop, augment, num_workers, draw_seed, make_batch or as_it_is
    )


def epoch(*arguments, **options):
    """All batches of an epoch in one: pixels, what to add to them, labels."""
    return tuple(map(np.concatenate, zip(*loader(*arguments, **options), strict=True)))


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


# What is found


def test_folder_has_its_classes_in_the_order_of_their_names(tmp_path):
    write_folder(tmp_path, train=3, val=2)
    (tmp_path / "train" / "cat" / "Thumbs.db").write_bytes(b"no image")
    (tmp_path / "train" / "cat" / "._000.jpg").write_bytes(b"what a file system keeps beside an image")
    (tmp_path / "train" / "rocket" / "100.JPEG").write_bytes(encoded(view("rocket", 9)))
    (tmp_path / "train" / "empty").mkdir()
    classes, train, val = list_images(tmp_path, FULL)
    assert classes == list(CLASSES)
    assert [example.label for example in train.examples] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert [example.label for example in val.examples] == [0, 0, 1, 1, 2, 2]
    assert train.examples[-1].name == str(tmp_path / "train" / "rocket" / "100.JPEG")


def test_shards_have_the_images_of_a_folder(tmp_path):
    _, *folder = list_images(write_folder(tmp_path / "folder"), FULL)
    classes, *shards = list_images(write_shards(tmp_path / "shards"), FULL)
    assert classes == ["0", "1", "2"]
    for from_folder, from_shards in zip(folder, shards, strict=True):
        assert [(e.label, e.read()) for e in from_folder.examples] == [
            (e.label, e.read()) for e in from_shards.examples
        ]
    assert shards[0].examples[0].name == f"{tmp_path}/shards/train/000000.tar: 000000.jpg"


def test_members_of_a_shard_may_come_in_any_order_and_beside_others(tmp_path):
    cat = encoded(view("cat", 0))
    members = [
        ("b.cls", b"1\n"),
        ("a.json", b"{}"),
        ("deep/a.JPG", cat),
        ("b.seg.png", b"a mask"),
        ("._b.cls", b"what a file system keeps beside a file"),
        ("../../b.webp", encoded(view("rocket", 0), "webp")),
        ("../../b.cls", b"3"),
        ("b.png", encoded(view("coffee", 0), "png")),
        ("deep/a.cls", b"0"),
    ]
    for part in ("train", "val"):
        write_shard(tmp_path / part / "0.tar", members)
    before = sorted(tmp_path.rglob("*"))
    classes, train, _ = list_images(tmp_path, FULL)
    assert classes == ["0", "1", "2", "3"]
    assert {example.member: example.label for example in train.examples} == {
        "deep/a.JPG": 0,
        "b.png": 1,
        "../../b.webp": 3,
    }
    assert train.examples[0].read() == cat
    assert len(epoch(train)[0]) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_validation_shards_may_lack_a_class(tmp_path):
    cat = encoded(view("cat", 0))
    write_shard(tmp_path / "train" / "0.tar", [("a.jpg", cat), ("a.cls", b"0"), ("b.jpg", cat), ("b.cls", b"7")])
    write_shard(tmp_path / "val" / "0.tar", [("a.jpg", cat), ("a.cls", b"0")])
    assert len(list_images(tmp_path, FULL)[0]) == 8


@pytest.mark.parametrize(("profile", "train", "val"), [(Profile(images=6), 6, 6), (Profile(smoke=True), 7, 5)])
def test_shortened_run_takes_images_of_all_classes(tmp_path, monkeypatch, profile, train, val):
    monkeypatch.setattr(images, "SMOKE_IMAGES", {"train": 7, "val": 5})
    _, *sets = list_images(write_folder(tmp_path, train=4, val=3), profile)
    assert [len(part) for part in sets] == [train, val]
    for part in sets:
        assert {example.label for example in part.examples} == {0, 1, 2}
        assert len(set(part.examples)) == len(part)


def no_folder(root):
    return root / "nowhere"


def no_validation(root):
    for path in (root / "val").glob("*/*"):
        path.unlink()
    for path in (root / "val").iterdir():
        path.rmdir()
    (root / "val").rmdir()
    return root


def loose_images(root):
    for path in (root / "val").glob("*/*"):
        path.rename(root / "val" / path.name)
    return root


def lacks_a_class(root):
    (root / "val" / "cat").rename(root / "val" / "dog")
    return root


def shards_in_one(root):
    write_shard(root / "val" / "0.tar", [])
    return root


def shards_and_folders(root):
    for part in ("train", "val"):
        write_shard(root / part / "0.tar", [])
    return root


@pytest.mark.fault("An image folder is not laid out as expected")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            no_folder,
            r"nowhere/train: no such folder\. Expected: .*/train/CLASS/\*\.jpg and .* or shards .*/val/\*\.tar$",
        ),
        (no_validation, r"/val: no such folder\. Expected: "),
        (loose_images, r"/val: no images\. Expected: .*/val/CLASS/\*\.jpg .* It has 6 images itself: sort them into"),
        (lacks_a_class, r"/train has images of classes that have none in .*/val: cat$"),
        (shards_in_one, r"/train: no shards\. Expected: "),
        (shards_and_folders, r"/train has shards, such as 0\.tar, and folders, such as \w+: keep one kind$"),
    ],
)
def test_folder_that_is_not_as_expected_is_named(tmp_path, spoil, message, sees):
    with pytest.raises(DataError, match=message) as caught:
        list_images(spoil(write_folder(tmp_path)), FULL)
    if spoil is lacks_a_class:
        sees(f"DataError: {caught.value}")


def test_class_without_training_images_is_named(tmp_path):
    root = write_folder(tmp_path)
    (root / "val" / "dog").mkdir()
    (root / "val" / "dog" / "a.jpg").write_bytes(encoded(view("cat", 0)))
    with pytest.raises(DataError, match=r"/val has images of classes that have none in .*/train: dog$"):
        list_images(root, FULL)


@pytest.mark.fault("A shard is damaged, or has no labels")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("n01440764_10026.jpg", b"x")],
            r"0\.tar: n01440764_10026 has no label\. Expected: for every image KEY\.jpg a",
        ),
        ([("a.jpg", b"x"), ("a.cls", b"1"), ("b.cls", b"1")], "b has a label and no image"),
        ([("a.txt", b"x")], "no images"),
        ([("a.jpg", b"x"), ("a.cls", b"tench")], r"a\.cls is b'tench'\. Expected: a class number of 1 to 6 digits"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], r"a\.cls is b'-1'"),
        ([("a.jpg", b"x"), ("a.cls", b"10000000")], r"a\.cls is b'10000000'"),
        ([("a.jpg", b"x"), ("a.cls", b"")], r"a\.cls is b''"),
    ],
)
def test_shard_that_is_not_as_expected_is_named(tmp_path, members, message, sees):
    write_shards(tmp_path)
    write_shard(tmp_path / "train" / "0.tar", members)
    with pytest.raises(DataError, match=message) as caught:
        list_images(tmp_path, FULL)
    if "n01440764_10026" in message:
        sees(f"DataError: {caught.value}")


@pytest.mark.fault("A shard is damaged, or has no labels")
@pytest.mark.parametrize("spoil", [lambda content: content[: len(content) // 2], gzip.compress, lambda _: b"<html>"])
def test_shard_that_is_cut_off_or_no_tar_file_is_named(tmp_path, spoil, sees):
    shard = write_shards(tmp_path) / "train" / "000005.tar"
    shard.write_bytes(spoil(shard.read_bytes()))
    with pytest.raises(DataError, match=r"000005\.tar: not a whole, uncompressed tar file \(.+\)") as caught:
        list_images(tmp_path, FULL)
    if "end of data" in str(caught.value):
        sees(f"DataError: {caught.value}")


def test_label_that_training_lacks_is_named(tmp_path):
    write_shards(tmp_path)
    write_shard(tmp_path / "val" / "9.tar", [("a.jpg", encoded(view("cat", 0))), ("a.cls", b"3")])
    with pytest.raises(DataError, match=r"/val has images of classes that have none in .*/train: 3$"):
        list_images(tmp_path, FULL)


# What of an image is seen


def test_decoded_is_the_central_square_as_pillow_resizes_it():
    image = photograph().crop((100, 50, 100 + WIDTH, 50 + HEIGHT))
    expected = image.resize((256, 256), Image.Resampling.BILINEAR, (20, 0, 280, 260))
    np.testing.assert_array_equal(decode(encoded(image, "png"), 256), np.asarray(expected))
    content = encoded(image.transpose(Image.Transpose.ROTATE_90), quality=90)
    with Image.open(io.BytesIO(content)) as upright:
        expected = upright.resize((128, 128), Image.Resampling.BILINEAR, (0, 20, 260, 280))
    np.testing.assert_array_equal(decode(content, 128), np.asarray(expected))


def test_photograph_far_larger_than_needed_is_seen_alike():
    """It is decoded at half or a quarter of its size, which is quicker."""
    image = photograph()
    content = encoded(image.resize((4 * image.width, 4 * image.height)), quality=95)
    difference = decode(content, 64).astype(int) - central_square(image, 64)
    assert np.abs(difference).mean() < 2


def test_small_image_is_enlarged():
    image = photograph().resize((20, 30))
    np.testing.assert_array_equal(decode(encoded(image, "png"), 64), central_square(image, 64))


def grey(image):
    return image.convert("L"), np.asarray(image.convert("L"))[..., None].repeat(3, -1)


def grey_16_bits(image):
    values = np.asarray(image.convert("L"))
    return Image.fromarray(values.astype(np.uint16) * 257), values[..., None].repeat(3, -1)


def palette(image):
    reduced = image.quantize(64)
    return reduced, np.asarray(reduced.convert("RGB"))


def transparent(image):
    """Left half opaque, the rest not to be seen."""
    alpha = np.zeros((image.height, image.width), np.uint8)
    alpha[:, : image.width // 2] = 255
    shown = np.where(alpha[..., None] == 255, np.asarray(image), 255)
    opaque = image.copy()
    opaque.putalpha(Image.fromarray(alpha))
    return opaque, shown


def grey_with_transparency(image):
    shown, _ = transparent(image)
    alpha = np.asarray(shown)[..., 3:]
    pixels = np.asarray(shown.convert("LA"))[..., :1].repeat(3, -1)
    return shown.convert("LA"), np.where(alpha == 255, pixels, 255)


@pytest.mark.parametrize("made", [grey, grey_16_bits, palette, transparent, grey_with_transparency])
def test_other_kinds_of_pixels_become_red_green_and_blue(made):
    image, shown = made(photograph().crop((100, 100, 164, 164)))
    np.testing.assert_array_equal(decode(encoded(image, "png"), 64), shown)


def test_palette_with_a_transparent_colour_shows_white_there():
    image = photograph().crop((100, 100, 164, 164)).quantize(8)
    indices = np.asarray(image)
    shown = np.where(indices[..., None] == 3, 255, np.asarray(image.convert("RGB")))
    for transparency in (3, bytes([255, 255, 255, 0])):
        np.testing.assert_array_equal(decode(encoded(image, "png", transparency=transparency), 64), shown)


def test_printers_colours_become_red_green_and_blue():
    image = photograph().crop((100, 100, 164, 164))
    difference = decode(encoded(image.convert("CMYK"), quality=95), 64).astype(int) - np.asarray(image)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photograph_taken_with_a_turned_camera_is_turned_upright(orientation):
    image = photograph().crop((100, 100, 164, 164))
    transpose = Image.Transpose
    stored = {
        1: image,
        2: image.transpose(transpose.FLIP_LEFT_RIGHT),
        3: image.transpose(transpose.ROTATE_180),
        4: image.transpose(transpose.FLIP_TOP_BOTTOM),
        5: image.transpose(transpose.TRANSPOSE),
        6: image.transpose(transpose.ROTATE_90),
        7: image.transpose(transpose.TRANSVERSE),
        8: image.transpose(transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(stored, "png", exif=exif), 64), np.asarray(image))


def test_only_three_formats_are_decoded():
    image = photograph().crop((0, 0, 64, 64))
    for extension in ("jpg", "png", "webp"):
        assert decode(encoded(image, extension), 32).shape == (32, 32, 3)
    for other in ("GIF", "TIFF", "BMP", "EPS"):
        buffer = io.BytesIO()
        image.save(buffer, other)
        with pytest.raises(OSError, match="cannot identify"):
            decode(buffer.getvalue(), 32)


# What training sees of it


def test_augmented_image_is_a_part_of_the_square_perhaps_flipped():
    """Every place of the part occurs, at the borders too, and flipped half of the time."""
    square = np.arange(36 * 36 * 3, dtype=np.int32).reshape(36, 36, 3)
    places, flips = set(), 0
    for seed in range(2000):
        part, _ = images.augment(square, 32, np.random.default_rng(seed))
        flipped = part[0, 0, 0] > part[0, 1, 0]
        part = part[:, ::-1] if flipped else part
        top, left = divmod(part[0, 0, 0] // 3, 36)
        np.testing.assert_array_equal(part, square[top : top + 32, left : left + 32])
        places.add((int(top), int(left)))
        flips += flipped
    assert places == {(top, left) for top in range(5) for left in range(5)}
    assert 900 < flips < 1100


def test_colour_shift_has_the_deviation_of_the_paper_along_each_component():
    square = np.zeros((8, 8, 3), np.uint8)
    shifts = np.array([images.augment(square, 8, np.random.default_rng(seed))[1] for seed in range(4000)])
    along = shifts @ images.COMPONENTS
    np.testing.assert_allclose(along.std(0), 0.1 * images.MAGNITUDES, rtol=0.1)
    np.testing.assert_allclose(along.mean(0) / along.std(0), 0, atol=0.1)
    np.testing.assert_allclose(np.corrcoef(along.T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(images.COMPONENTS.T @ images.COMPONENTS, np.eye(3), atol=1e-3)


def test_known_crop_has_pillows_pixels(tmp_path):
    """With the random numbers drawn here anew, in the order that makes an epoch repeatable."""
    _, train, _ = list_images(write_folder(tmp_path, train=2, val=1), FULL)
    pixels, shifts, labels = epoch(train, seed=7, resize=160, crop=150)
    order = np.random.default_rng(7).permutation(6)
    np.testing.assert_array_equal(labels, order // 2)
    for index, part, shift in zip(order, pixels, shifts, strict=True):
        rng = np.random.default_rng((7, index))
        top, left = rng.integers(0, 11, 2)
        flip, multiples = rng.random() < 0.5, rng.normal(0, 0.1, 3)
        with Image.open(train.examples[index].file) as image:
            expected = central_square(image, 160)[top : top + 150, left : left + 150]
        np.testing.assert_array_equal(part, expected[:, ::-1] if flip else expected)
        expected = images.COMPONENTS @ (multiples * images.MAGNITUDES) - MEAN
        np.testing.assert_allclose(shift, expected, rtol=1e-6)


# Batches


def test_validation_batches_are_the_middle_of_each_image_in_order(tmp_path):
    _, _, val = list_images(write_folder(tmp_path, train=1, val=3), FULL)
    batches = list(loader(val))
    assert [len(labels) for *_, labels in batches] == [4, 4, 1]
    assert len(loader(val)) == 3
    pixels, shifts, labels = epoch(val, resize=160, crop=150)
    assert pixels.dtype == np.uint8
    assert shifts.dtype == np.float32
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(shifts, np.broadcast_to(-MEAN, (9, 3)))
    for example, image in zip(val.examples, pixels, strict=True):
        with Image.open(example.file) as stored:
            np.testing.assert_array_equal(image, central_square(stored, 160)[5:155, 5:155])


def test_training_has_every_image_once_an_epoch_in_a_new_order(tmp_path):
    _, train, _ = list_images(write_shards(tmp_path), FULL)
    whole = {"augment": False, "resize": 56}
    in_order = epoch(train, **whole)[0]
    numbers = {image.tobytes(): i for i, image in enumerate(in_order)}
    assert len(numbers) == len(train) == 18
    seeds = iter([1, 2, 1])
    batches = ImageLoader(train, 4, Workers(), 56, 56, False, 2, lambda: next(seeds), lambda *arrays: arrays)
    orders = [[numbers[image.tobytes()] for pixels, *_ in batches for image in pixels] for _ in range(3)]
    assert all(sorted(order) == list(range(18)) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_epoch_depends_on_its_seed_only_and_not_on_the_threads(tmp_path):
    _, train, _ = list_images(write_folder(tmp_path), FULL)
    first, again, other = (epoch(train, seed=seed, num_workers=n) for seed, n in ((3, 1), (3, 4), (4, 4)))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert (first[0] != other[0]).any()
    assert (first[1] != other[1]).any()


@pytest.mark.parametrize("done", [0, 1, 4, 5])
def test_epoch_goes_on_after_some_batches_and_reads_nothing_of_these(tmp_path, monkeypatch, done):
    _, train, _ = list_images(write_folder(tmp_path), FULL)
    read = []
    whole = list(loader(train, seed=3))
    monkeypatch.setattr(images, "decode", lambda *arguments: read.append(arguments) or decode(*arguments))
    rest = list(loader(train, seed=3).after(done))
    assert len(rest) == 5 - done
    assert len(read) == sum(len(labels) for *_, labels in whole[done:])
    for batch, expected in zip(rest, whole[done:], strict=True):
        for one, same in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(one, same)


class AtOnce(Executor):
    """Computes what is submitted at once, and counts it."""

    submitted = 0

    def submit(self, function, item):
        self.submitted += 1
        future = Future()
        future.set_result(function(item))
        return future


def test_no_more_is_computed_ahead_than_asked_for():
    pool = AtOnce()
    results = images.ahead(pool, lambda x: x**2, range(20), 5)
    assert pool.submitted == 0
    for i in range(20):
        assert next(results) == i**2
        assert pool.submitted == min(i + 6, 20)
    assert list(results) == []


def test_memory_holds_a_few_batches_however_large_the_epoch(tmp_path, monkeypatch):
    """What is decoded before it is asked for is two batches, once the threads have all that they are given."""
    pools = []
    monkeypatch.setattr(images, "ThreadPoolExecutor", lambda *_, **__: pools.append(PoolAtOnce()) or pools[-1])
    _, train, _ = list_images(write_folder(tmp_path, train=20), FULL)
    for taken, _ in enumerate(loader(train, batch_size=4), 1):
        assert pools[0].submitted == min(4 * taken + 2 * 4, len(train))


class PoolAtOnce(AtOnce):
    def shutdown(self, cancel_futures):
        assert cancel_futures


# What goes wrong


def broken(content):
    """Ways in which an image file is no whole image."""
    rng = random.Random(0)
    garbled = bytearray(content)
    for _ in range(400):
        garbled[rng.randrange(2, 600)] = rng.randrange(256)
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    header = b"IHDR" + size
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "first bytes only": content[:100],
        "garbled": bytes(garbled),
        "html": b"<!DOCTYPE html><title>Not found</title>",
        "bomb": bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")),
    }


@pytest.mark.fault("An image is corrupt")
def test_corrupt_images_are_left_out_counted_and_named_once(tmp_path, capsys, sees):
    root = write_folder(tmp_path, train=4, val=1)
    bad = broken((root / "train" / "cat" / "000.jpg").read_bytes())
    for name, content in bad.items():
        (root / "train" / "coffee" / f"{name}.jpg").write_bytes(content)
    _, train, val = list_images(root, FULL)
    assert len(train) == 12 + len(bad)
    for seed in (1, 2):
        pixels, _, labels = epoch(train, seed=seed)
        assert len(pixels) == 12
        np.testing.assert_array_equal(np.bincount(labels), [4, 4, 4])
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("6 of 18 images are corrupt and left out: ")
    assert line.endswith(" and 3 more")
    assert "coffee/bomb.jpg (Image size (3600000000 pixels) exceeds limit" in line
    assert set(train.corrupt) == {str(root / "train" / "coffee" / f"{name}.jpg") for name in bad}
    assert all(train.corrupt.values())
    epoch(val)
    assert val.corrupt == {}
    assert capsys.readouterr().err == ""
    sees(line.partition("bomb.jpg")[0] + "bomb.jpg (Image size (3600000000 pixels) exceeds limit …")


def test_corrupt_member_of_a_shard_is_named_with_its_shard(tmp_path, capsys):
    cat = encoded(view("cat", 0))
    members = [("a.jpg", cat), ("a.cls", b"0"), ("b.jpg", cat[:1000]), ("b.cls", b"0")]
    for part in ("train", "val"):
        write_shard(tmp_path / part / "0.tar", members)
    _, train, _ = list_images(tmp_path, FULL)
    assert len(epoch(train)[0]) == 1
    assert f"1 of 2 images are corrupt and left out: {tmp_path}/train/0.tar: b.jpg (" in capsys.readouterr().err


def test_batches_with_corrupt_images_are_smaller_and_one_of_nothing_else_is_left_out(tmp_path):
    _, train, _ = list_images(write_folder(tmp_path, train=3), FULL)
    for i in (1, 3, 4, 5):
        with open(train.examples[i].file, "wb") as file:
            file.write(b"no image")
    assert [len(labels) for *_, labels in loader(train, batch_size=3)] == [2, 3]


@pytest.mark.fault("No image of a set can be decoded")
def test_set_of_corrupt_images_only_is_an_error(tmp_path, sees):
    _, train, _ = list_images(write_folder(tmp_path, train=1), FULL)
    for example in train.examples:
        with open(example.file, "wb") as file:
            file.write(b"no image")
    with pytest.raises(DataError, match="none of the 3 images can be decoded") as caught:
        list(loader(train))
    sees(f"DataError: {caught.value}")


def test_file_that_is_gone_is_an_error_and_no_corrupt_image(tmp_path):
    root = write_folder(tmp_path)
    _, train, _ = list_images(root, FULL)
    (root / "train" / "coffee" / "007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"007\.jpg"):
        list(loader(train))
    assert train.corrupt == {}
    assert decoding_threads() == []


def test_lack_of_memory_is_an_error_and_no_corrupt_image(tmp_path, monkeypatch):
    def no_memory(*arguments):
        raise MemoryError

    monkeypatch.setattr(images, "decode", no_memory)
    _, train, _ = list_images(write_folder(tmp_path), FULL)
    with pytest.raises(MemoryError):
        list(loader(train))
    assert train.corrupt == {}


def test_broken_exif_data_do_no_harm():
    image = photograph().crop((0, 0, 64, 64))
    content = encoded(image, "jpg", quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken")
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        np.testing.assert_array_equal(decode(content, 64), decode(encoded(image, "jpg", quality=95), 64))


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_threads_end_with_the_epoch_or_when_no_more_is_asked_for(tmp_path, batches):
    _, train, _ = list_images(write_folder(tmp_path, train=10), FULL)
    iterator = iter(loader(train))
    for _ in range(batches):
        next(iterator)
    iterator.close()
    assert decoding_threads() == []
    list(loader(train))
    assert decoding_threads() == []


@pytest.mark.fault("Ctrl-C while images are decoded")
def test_interrupted_epoch_leaves_no_thread_and_can_be_begun_again(tmp_path, sees):
    _, train, _ = list_images(write_folder(tmp_path, train=10), FULL)
    taken = 0

    def interrupted(*arrays):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        list(loader(train, make_batch=interrupted))
    assert decoding_threads() == []
    with pytest.raises(KeyboardInterrupt):
        for _ in loader(train):
            taken += 1
            signal.raise_signal(signal.SIGINT)
    assert taken == 1
    assert decoding_threads() == []
    assert len(epoch(train)[0]) == 30
    sees("KeyboardInterrupt: the threads end, and a new epoch can be begun")

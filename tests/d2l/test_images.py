"""Image folders and shards: what is found in them, what of an image is seen, and how its batches come about."""

import gzip
import io
import random
import shutil
import signal
import struct
import tarfile
import threading
import zlib
from concurrent.futures import Executor, Future
from pathlib import Path

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

from d2l import decoding, image_folders, images
from d2l.data_error import DataError
from d2l.decoding import decode
from d2l.fashion_mnist import load_fashion_mnist
from d2l.image_folders import Example, list_images
from d2l.images import MEAN, ImageLoader
from d2l.process_group import ProcessGroup
from d2l.smoke_profile import Profile

pytestmark = [pytest.mark.helper, pytest.mark.quick]

FULL = Profile()
UNNAMED = "not named *.jpg, *.jpeg, *.png or *.webp"
RENAME = "rename JPEG, PNG and WebP images so"


def loader(image_set, seed=None, batch_size=4, resize=64, crop=56, augment=True, num_workers=2, collate=None):
    """Batches of an image set as arrays."""
    draw_seed = None if seed is None else lambda: seed
    as_it_is = lambda *arrays: arrays  # noqa: E731
    return ImageLoader(
        image_set, batch_size, ProcessGroup(), resize, crop, augment, num_workers, draw_seed, collate or as_it_is
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
    monkeypatch.setattr(image_folders, "SMOKE_IMAGES", {"train": 7, "val": 5})
    _, *sets = list_images(write_folder(tmp_path, train=4, val=3), profile)
    assert [len(part) for part in sets] == [train, val]
    for part in sets:
        assert {example.label for example in part.examples} == {0, 1, 2}
        assert len(set(part.examples)) == len(part)


def test_smoke_run_takes_as_many_images_of_a_folder_as_come_with_the_package():
    sample = load_fashion_mnist("nowhere", Profile(smoke=True))
    assert [len(images.labels) for images in sample] == list(image_folders.SMOKE_IMAGES.values())


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


# What systems and programs leave beside people's images, in any place.
LEFT_BEHIND_FOLDERS = (".ipynb_checkpoints", ".git", "__MACOSX", "__pycache__", "lost+found")
LEFT_BEHIND_FOLDERS += (
    "$RECYCLE.BIN",
    "System Volume Information",
    "Network Trash Folder",
    "Temporary Items",
    "@tmp",
    "@Recently-Snapshot",
    "~snapshot",
    "@eaDir",
    "@Recycle",
    "@__thumb",
    "#recycle",
    "#snapshot",
)
LEFT_BEHIND_FILES = ("._000.jpg", "._000000.tar", "._a.gif", ".hidden.tar.gz", ".DS_Store", "Icon\r")
LEFT_BEHIND_FILES += ("Thumbs.db", "ehthumbs.db", "desktop.ini")


def litter(folder):
    """Leave in a folder what systems and programs do, with images and shards in it."""
    for name in LEFT_BEHIND_FILES:
        (folder / name).write_bytes(b"no image")
    for name in LEFT_BEHIND_FOLDERS:
        (folder / name / "cat").mkdir(parents=True)
        for path in ("000.jpg", "0.tar", "cat/000.jpg"):
            (folder / name / path).write_bytes(b"no image")


@pytest.mark.parametrize("write", [write_folder, write_shards])
def test_what_systems_and_programs_leave_behind_does_not_count(tmp_path, write):
    said = []
    classes, *clean = list_images(write(tmp_path), FULL)
    for folder in [tmp_path, *filter(Path.is_dir, tmp_path.glob("*"))]:
        litter(folder)
    if write is write_folder:
        litter(tmp_path / "train" / "cat")
    again, *littered = list_images(tmp_path, FULL, say=said.append)
    assert (again, littered, said) == (classes, clean, [])


@pytest.mark.fault("A class folder is named as systems name theirs")
@pytest.mark.parametrize("write", [write_folder, write_shards])
def test_folder_that_begins_with_a_mark_of_systems_is_passed_over_and_said(tmp_path, write, sees):
    said = []
    found = list_images(write(tmp_path), FULL)
    for name in ("@appstore", "#1", "~b", "$c"):
        (tmp_path / "train" / name).mkdir()
        (tmp_path / "train" / name / "0.jpg").write_bytes(b"x")
    assert list_images(tmp_path, FULL, say=said.append) == found
    (line,) = said
    assert line == (
        f"Passed over in {tmp_path}: folders that begin with @, #, ~ or $, as a system's do (rename those of a class): "
        f"4, such as {tmp_path}/train/#1"
    )
    sees(line)


def test_image_may_begin_with_a_mark_of_systems(tmp_path):
    write_folder(tmp_path)
    path = tmp_path / "train" / "cat" / "#1.jpg"
    path.write_bytes(b"x")
    assert str(path) in [example.name for example in list_images(tmp_path, FULL)[1].examples]


def test_what_is_passed_over_is_said_beside_an_error(tmp_path):
    said = []
    for part in ("train", "val"):
        (tmp_path / part / "#1").mkdir(parents=True)
    with pytest.raises(DataError, match="no images"):
        list_images(tmp_path, FULL, say=said.append)
    assert f": 2, such as {tmp_path}/train/#1" in said[0]


def test_what_is_left_behind_in_a_shard_does_not_count(tmp_path):
    said = []
    cat = encoded(view("cat", 0))
    places = ("._{}", "__MACOSX/{}", "@tmp/{}", "a/@eaDir/{}", ".hidden/b/{}", "./a/.ipynb_checkpoints/{}")
    left = [(place.format(name), b"x") for place in places for name in ("a.jpg", "a.cls", "b.gif", "c.jpg")]
    left.append(("a/Thumbs.db", b"x"))
    for part in ("train", "val"):
        write_shard(tmp_path / part / "0.tar", [*left, ("./a/b.jpg", cat), ("./a/b.cls", b"0")])
    _, train, _ = list_images(tmp_path, FULL, say=said.append)
    assert [(example.member, example.label) for example in train.examples] == [("./a/b.jpg", 0)]
    assert said == []


def empty_class(folder):
    return "is empty"


def only_left_behind(folder):
    litter(folder)
    return "is empty"


def only_folders(folder):
    (folder / "b").mkdir()
    (folder / "a.jpg").mkdir()
    return f"has only folders, in which no images are looked for (2, such as {folder}/a.jpg)"


def other_formats(folder):
    for name in ("a.jpg.part", "b.gif", "c.bmp", "d.jfif", "e.jpe", "f"):
        (folder / name).write_bytes(b"x")
    return f"has only files {UNNAMED} (6, such as {folder}/a.jpg.part: {RENAME})"


def shards_in_a_class_folder(folder):
    write_shard(folder / "0.tar", [])
    return f"has only files {UNNAMED} (1, such as {folder}/0.tar: {RENAME}; shards belong in the folder above)"


@pytest.mark.fault("A class folder has no images")
@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize(
    "spoil", [empty_class, only_left_behind, only_folders, other_formats, shards_in_a_class_folder]
)
def test_class_folder_without_images_is_named_with_the_reason(tmp_path, spoil, part, sees):
    folder = write_folder(tmp_path) / part / "dog"
    folder.mkdir()
    reason = spoil(folder)
    with pytest.raises(DataError) as caught:
        list_images(tmp_path, FULL)
    assert str(caught.value) == (f"Class folders without images: {folder} {reason}. Put images there, or remove them")
    if spoil is other_formats:
        sees(f"DataError: {caught.value}")


def test_reasons_are_given_too_where_no_class_has_an_image(tmp_path):
    for path in write_folder(tmp_path).glob("train/*/*"):
        path.rename(path.with_suffix(".gif"))
    with pytest.raises(
        DataError, match=r"/train: no images\. Expected: .*/train/cat has only files not named .* \(6, such"
    ):
        list_images(tmp_path, FULL)


@pytest.mark.fault("Files among the images are none that are read")
def test_what_is_passed_over_is_counted_and_said_in_one_line(tmp_path, capsys, sees):
    root = write_folder(tmp_path)
    classes, train, _ = list_images(root, FULL)
    for name in ("a.gif", "b.jfif", "c"):
        (root / "train" / "cat" / name).write_bytes(b"x")
    (root / "val" / "cat" / "d.gif").write_bytes(b"x")
    (root / "train" / "coffee" / "more").mkdir()
    (root / "train" / "coffee" / "more" / "a.jpg").write_bytes(b"x")
    (root / "val" / "loose.jpg").write_bytes(b"x")
    assert list_images(root, FULL)[:2] == (classes, train)
    line = capsys.readouterr().err
    assert line == (
        f"Passed over in {root}: files {UNNAMED} ({RENAME}): 4, such as {root}/train/cat/a.gif; "
        f"folders in class folders: 1, such as {root}/train/coffee/more; "
        f"files in no class folder: 1, such as {root}/val/loose.jpg\n"
    )
    sees(line)


def test_files_beside_shards_are_said(tmp_path):
    root, said = write_shards(tmp_path), []
    for name in ("index.json", "loose.jpg"):
        (root / "train" / name).write_bytes(b"x")
    list_images(root, FULL, say=said.append)
    assert said == [f"Passed over in {root}: files that are no shards: 2, such as {root}/train/index.json"]


def test_folders_and_images_may_be_links(tmp_path):
    root = write_folder(tmp_path / "images")
    _, *sets = list_images(root, FULL)
    for path in (root / "train" / "cat", root / "train" / "coffee" / "006.jpg"):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    assert list_images(root, FULL)[1:] == tuple(sets)


@pytest.mark.fault("A link to an image, a class folder or a shard leads nowhere")
@pytest.mark.parametrize(
    ("write", "name"), [(write_folder, "cat/z.jpg"), (write_folder, "dog"), (write_shards, "9.tar")]
)
def test_link_to_what_is_not_there_is_named(tmp_path, write, name, sees):
    path = write(tmp_path) / "train" / name
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is no file, nor a link to one that is there") as caught:
        list_images(tmp_path, FULL)
    assert str(caught.value).startswith(f"{path} ")
    if name == "dog":
        sees(f"DataError: {caught.value}")


def test_link_in_a_circle_is_an_error_with_its_name(tmp_path):
    path = write_folder(tmp_path) / "train" / "dog"
    path.symlink_to(path)
    with pytest.raises(DataError, match=rf"{tmp_path} cannot be read: .*'{path}'"):
        list_images(tmp_path, FULL)


def test_home_folder_is_found(tmp_path, monkeypatch):
    write_folder(tmp_path / "images")
    monkeypatch.setenv("HOME", str(tmp_path))
    _, train, _ = list_images("~/images", FULL)
    assert train.examples[0].file == f"{tmp_path}/images/train/cat/000.jpg"


# Validation split off


@pytest.mark.parametrize("write", [write_folder, write_shards])
def test_validation_is_split_off_by_class_and_by_names_alone(tmp_path, write, capsys):
    def parts(root):
        _, *sets = list_images(root, FULL, val_split=0.3)
        return [[e.name.removeprefix(str(root)) for e in part.examples] for part in sets], sets

    root = write(tmp_path / "a", train=10, val=1)
    _, whole, _ = list_images(root, FULL)
    shutil.rmtree(root / "val")
    (train, val), sets = parts(root)
    assert [np.bincount([e.label for e in part.examples]).tolist() for part in sets] == [[7, 7, 7], [3, 3, 3]]
    assert sorted(train + val) == sorted(e.name.removeprefix(str(root)) for e in whole.examples)
    names = sorted(train + val)
    assert val != names[:3] + names[10:13] + names[20:23]  # not those that were taken first
    assert [e.label for e in sets[1].examples] == [0] * 3 + [1] * 3 + [2] * 3
    assert (
        f"val_split=0.3: of the images in {root}/train, 21 to train on and 9 to validate on\n"
        in capsys.readouterr().err
    )
    root.rename(tmp_path / "elsewhere")
    assert parts(tmp_path / "elsewhere")[0] == [train, val]


def test_split_validates_on_every_class_that_has_two_images(tmp_path):
    root = write_folder(tmp_path, train=2, val=1)
    shutil.rmtree(root / "val")
    (root / "train" / "cat" / "000.jpg").unlink()
    for share in (0.01, 0.99):
        _, train, val = list_images(root, FULL, val_split=share)
        assert [e.label for e in train.examples] == [0, 1, 2]
        assert [e.label for e in val.examples] == [1, 2]


def test_shortened_run_of_a_split_has_the_split_of_the_whole(tmp_path):
    root = write_folder(tmp_path, train=6, val=1)
    shutil.rmtree(root / "val")
    _, *whole = list_images(root, FULL, val_split=0.5)
    _, *few = list_images(root, Profile(images=4), val_split=0.5)
    for part, all_of_it in zip(few, whole, strict=True):
        assert len(part) == 4
        assert set(part.examples) < set(all_of_it.examples)


@pytest.mark.fault("An image folder has no `val`, or has one and is to be split, too")
def test_split_beside_a_validation_folder_and_neither_of_them_are_errors(tmp_path, sees):
    root = write_folder(tmp_path, train=1, val=1)
    with pytest.raises(DataError, match=r"/val is there, and val_split=0\.1 asks to validate on a part of .*/train"):
        list_images(root, FULL, val_split=0.1)
    shutil.rmtree(root / "val")
    with pytest.raises(DataError, match=r"/train instead, give val_split=0\.1$") as caught:
        list_images(root, FULL)
    sees(f"DataError: {caught.value}")
    with pytest.raises(DataError, match="has one image of each class, and none to validate on"):
        list_images(root, FULL, val_split=0.1)


# What is wrong with a shard


def test_key_with_dots_has_its_own_label_and_what_belongs_to_another_key_is_said(tmp_path):
    cat, said = encoded(view("cat", 0)), []
    members = [("a.b.jpg", cat), ("a.b.cls", b"1"), ("a.jpg", cat), ("a.cls", b"0"), ("v1.0/x.y.z.JPG", cat)]
    members += [
        ("v1.0/x.y.z.CLS", b" 03\r\n"),
        ("a.b.mask.png", b"x"),
        ("a.coarse.json", b"{}"),
        ("a.json", b"{}"),
        ("a.depth.tif", b"x"),
        ("x", b"an image"),
        ("y.", b"x"),
        ("q.img", b"x"),
        ("q.npy", b"x"),
        ("deep/a.json", b"{}"),
    ]
    for part in ("train", "val"):
        write_shard(tmp_path / part / "0.TAR", members)
    _, train, _ = list_images(tmp_path, FULL, say=said.append)
    assert {e.member: e.label for e in train.examples} == {"a.b.jpg": 1, "a.jpg": 0, "v1.0/x.y.z.JPG": 3}
    first = f"{tmp_path}/train/0.TAR: a.coarse.json"
    assert said == [
        "Classes without a training image, of the 4 numbered from 0: 2",
        f"Passed over in {tmp_path}: further members of a key in shards: 8, such as {first}; "
        f"members whose key has neither image nor label in shards: 10, such as {tmp_path}/train/0.TAR: x",
    ]


def test_image_of_a_format_that_is_not_read_is_named_in_a_shard(tmp_path):
    write_shards(tmp_path)
    others = "avif bmp gif heic heif ico jfif jp2 jpe jxl pbm pgm pnm ppm psd svg tga tif tiff GIF"
    for extension in others.split():
        write_shard(tmp_path / "train" / "0.tar", [(f"x.{extension}", b"0"), ("x.cls", b"0")])
        with pytest.raises(DataError, match=rf"0\.tar: x\.{extension} is an image not named .*: {RENAME}, and make"):
            list_images(tmp_path, FULL)


def test_key_may_be_in_several_shards(tmp_path):
    members = [("a.jpg", encoded(view("cat", 0))), ("a.cls", b"0")]
    for name in ("train/0.tar", "train/1.tar", "val/0.tar"):
        write_shard(tmp_path / name, members)
    assert len(list_images(tmp_path, FULL)[1]) == 2


@pytest.mark.parametrize("name", ["link.jpg", "link.cls"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.GNUTYPE_SPARSE])
def test_link_in_a_shard_is_named(tmp_path, name, kind):
    path = write_shards(tmp_path) / "train" / "9.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "a"
        tar.addfile(member)
    with pytest.raises(DataError, match=rf"9\.tar: {name} is a link or a sparse file: pack the shard"):
        list_images(tmp_path, FULL)


COMPRESSED = ["gz", "Z", "bz2", "xz", "zst", "lz4"]


@pytest.mark.parametrize("name", ["0.tgz", "0.tbz2", "0.txz", "0.TAR.GZ", *(f"0.tar.{how}" for how in COMPRESSED)])
@pytest.mark.parametrize("beside", [True, False])
def test_compressed_shard_is_named(tmp_path, name, beside):
    root = write_shards(tmp_path)
    if not beside:
        shutil.rmtree(root / "train")
        (root / "train").mkdir()
    (root / "train" / name).write_bytes(b"x")
    with pytest.raises(DataError, match=rf"/train/{name} is compressed, .*: unpack it to a plain \.tar file"):
        list_images(root, FULL)


@pytest.mark.fault("A shard has an image or a label twice, or an image that is not read")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            ["x.jpg", "x.png", "x.cls"],
            r"x\.jpg and x\.png have one key, and two images\. Expected: for every image KEY",
        ),
        (["x.jpg", "x.JPG", "x.cls"], r"x\.jpg and x\.JPG have one key, and two images"),
        (["x.jpg", "x.cls", "x.jpg"], r"x\.jpg is there twice, and two images"),
        (["x.jpg", "x.cls", "./x.jpg"], r"x\.jpg and \./x\.jpg have one key, and two images"),
        (["x.cls", "x.jpg", "x.cls"], r"x\.cls is there twice, and two labels"),
        (["x.cls", "x.jpg", "x.CLS"], r"x\.cls and x\.CLS have one key, and two labels"),
        (["x.gif", "x.cls"], r"x\.gif is an image not named .*, and make others a JPEG$"),
        (["x.jpg", "x.gif", "x.cls"], r"x\.jpg and x\.gif have one key, and two images"),
        (["x.heic"], r"x\.heic has no label"),
        (["a.b.jpg", "a.cls"], r"a\.b\.jpg has no label"),
        (["a.jpg", "a.b.cls"], r"a\.jpg has no label"),
        (["a.jpg", "b/a.cls"], r"a\.jpg has no label"),
        (["0.jpg", "0.cls", "0.5.jpg"], r"0\.5\.jpg has no label"),
        (["0.jpg", "0.cls", "0.5.png"], r"0\.5\.png has no label"),
        (["0.jpg", "0.cls", "0.b.jpg"], r"0\.b\.jpg has no label"),
        (["0.jpg", "0.cls", "0.5.cls"], r"0\.5\.cls has no image"),
        (["0.jpg", "0.cls", "0.coarse.cls"], r"0\.coarse\.cls has no image"),
        (["x", "x.cls"], r"x\.cls has no image"),
        (["q.npy", "./q.CLS"], r"\./q\.CLS has no image"),
    ],
)
def test_image_and_label_of_a_key_are_one_each(tmp_path, members, message, sees):
    write_shards(tmp_path)
    write_shard(tmp_path / "train" / "0.tar", [(name, b"0") for name in members])
    with pytest.raises(DataError, match=r"/train/0\.tar: " + message) as caught:
        list_images(tmp_path, FULL)
    if members == ["x.jpg", "x.png", "x.cls"]:
        sees(f"DataError: {caught.value}")


@pytest.mark.fault("A shard is damaged, or has no labels")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("n01440764_10026.jpg", b"x")],
            r"0\.tar: n01440764_10026\.jpg has no label\. Expected: for every image KEY\.jpg a",
        ),
        (
            [("a.jpg", b"x"), ("a.cls", b"1"), ("b.cls", b"1")],
            r"b\.cls has no image\. Expected: for every image KEY\.jpg a",
        ),
        (
            [("a.jpg", b"x"), ("a.cls", b"0"), ("b.jpg", b"x"), ("b.cls", b"999999")],
            r"0\.tar: b\.jpg is of class 999999, and 999,99\d classes of a lower number have no training image",
        ),
        ([("a.txt", b"x")], "no images"),
        ([("a.jpg", b"x"), ("a.cls", b"tench")], r"a\.cls is b'tench'\. Expected: a class number of 1 to 6 digits"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], r"a\.cls is b'-1'"),
        ([("a.jpg", b"x"), ("a.cls", b"10000000")], r"a\.cls is b'10000000'"),
        ([("a.jpg", b"x"), ("a.cls", b"")], r"a\.cls is b''"),
        ([("a.jpg", b"x"), ("a.cls", b"3.0")], r"a\.cls is b'3\.0'"),
        ([("a.jpg", b"x"), ("a.cls", b"\xff")], r"a\.cls is b'\\xff'"),
        ([("a.jpg", b"x"), ("a.cls", "\N{FULLWIDTH DIGIT THREE}".encode())], r"a\.cls is b'"),
        ([("a.jpg", b"x"), ("a.cls", b"1" + b" " * 99 + b"7")], r"a\.cls is b'1'"),
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
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.rstrip(b"\0") + bytes(-len(content.rstrip(b"\0")) % 512),  # between two members
        lambda content: content + content,  # one after the other, of which tarfile reads the first
        lambda content: content.replace(b"000007.jpg", b"\x01\x01\x01\x01\x01\x01.jpg"),  # no header any more
        gzip.compress,
        lambda _: b"<html>",
        lambda _: b"",
    ],
)
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
    batches = ImageLoader(train, 4, ProcessGroup(), 56, 56, False, 2, lambda: next(seeds), lambda *arrays: arrays)
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
    monkeypatch.setattr(decoding, "decode", lambda *arguments: read.append(arguments) or decode(*arguments))
    rest = list(loader(train, seed=3).iter_from(done))
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
    """Ways in which an image file is no whole image, and what is said of them whatever the decoder says."""
    rng = random.Random(0)
    garbled = bytearray(content)
    for _ in range(400):
        garbled[rng.randrange(2, 600)] = rng.randrange(256)
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    header = b"IHDR" + size
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return {
        "empty": (b"", "empty"),
        "truncated": (content[: len(content) // 2], "a JPEG that ends in the middle"),
        "first bytes only": (content[:100], "a JPEG that ends in the middle"),
        "garbled": (bytes(garbled), "a JPEG that cannot be decoded"),
        "html": (
            b"<!DOCTYPE html><title>Not found</title>",
            "begins with <!DOCTYPE html: a web page, and JPEG, PNG and WebP are read",
        ),
        "bomb": (
            bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")),
            "more than 178,956,970 pixels, the most that are decoded: twice PIL.Image.MAX_IMAGE_PIXELS",
        ),
    }


@pytest.mark.fault("An image is corrupt")
def test_corrupt_images_are_left_out_counted_and_named_once(tmp_path, capsys, sees):
    root = write_folder(tmp_path, train=4, val=1)
    bad = broken((root / "train" / "cat" / "000.jpg").read_bytes())
    for name, (content, _) in bad.items():
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
    folder = root / "train" / "coffee"
    assert train.corrupt == {str(folder / f"{name}.jpg"): reason for name, (_, reason) in bad.items()}
    assert f"coffee/bomb.jpg ({bad['bomb'][1]}), " in line
    epoch(val)
    assert val.corrupt == {}
    assert capsys.readouterr().err == ""
    sees(line)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GIF89a@\0@\0", "begins with GIF89a: a GIF, and JPEG, PNG and WebP are read"),
        (b"BM\x36\0\0\0\0\0\0\0\x36", "begins with BM: a BMP, and "),
        (b"II*\0\x08\0", "begins with II*: a TIFF, and "),
        (b"\0\0\0\x18ftypheic\0\0", "begins with ftypheic: a HEIF photograph, and "),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\n<HTML><body>", "begins with <HTML: a web page, and "),
        (b"no image", "begins with no image, and JPEG, PNG and WebP are read"),
        (b"\x80\x02\x7d", "begins with the bytes 80 02 7d, and "),
        (b"\x1b[31mred", "begins with the bytes 1b 5b 33"),
        (bytes(1000), "nothing but zeros"),
        (b"RIFF\0\1\0\0WEBPVP8 ", "a WebP that ends in the middle"),
        (encoded(photograph().crop((0, 0, 32, 32)), "png")[:200], "a PNG that ends in the middle"),
        (encoded(photograph().crop((0, 0, 32, 32)), "png").replace(b"IHDR", b"IHDX"), "a PNG that cannot be decoded"),
    ],
)
def test_reason_says_what_a_file_is_and_depends_on_nothing_else(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    example = Example(str(tmp_path / "a.jpg"), 0)
    with pytest.raises(decoding.CorruptImageError) as caught:
        decoding.load(example, 32)
    assert reason in caught.value.reason
    assert str(caught.value) == f"{example.name}: {caught.value.reason}"


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

    monkeypatch.setattr(decoding, "decode", no_memory)
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
        list(loader(train, collate=interrupted))
    assert decoding_threads() == []
    with pytest.raises(KeyboardInterrupt):
        for _ in loader(train):
            taken += 1
            signal.raise_signal(signal.SIGINT)
    assert taken == 1
    assert decoding_threads() == []
    assert len(epoch(train)[0]) == 30
    sees("KeyboardInterrupt: the threads end, and a new epoch can be begun")

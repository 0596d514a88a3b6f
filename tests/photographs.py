"""Folders and shards of real photographs, for tests: small parts of those that matplotlib and scikit-image ship."""

import io
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image

CLASSES = ("cat", "coffee", "rocket")
WIDTH, HEIGHT = 300, 260
STEP = 8


@cache
def photograph(name="grace_hopper"):
    """A photograph, by the name of its file."""
    if name == "grace_hopper":
        path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    else:
        skimage = pytest.importorskip("skimage", reason="needs the photographs of scikit-image")
        path = Path(skimage.__file__).parent / "data" / name
    with Image.open(path) as image:
        return image.convert("RGB")


def view(name, i):
    """The ``i``-th of many parts of the photograph of a class, each 300 pixels wide and 260 high."""
    image = photograph({"cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}[name])
    columns = (image.width - WIDTH) // STEP
    left, top = STEP * (i % columns), STEP * (i // columns)
    assert top + HEIGHT <= image.height
    return image.crop((left, top, left + WIDTH, top + HEIGHT))


def encoded(image, extension="jpg", **options):
    """The content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[extension], **options)
    return buffer.getvalue()


def views(train, val):
    """Class and content of images in the order of their classes; those for validation lie between the others."""
    return {
        part: [(name, encoded(view(name, i), quality=90)) for name in CLASSES for i in numbers]
        for part, numbers in (("train", range(0, 2 * train, 2)), ("val", range(1, 2 * val, 2)))
    }


def write_folder(root, train=6, val=2):
    """An image folder with so many images of each class."""
    for part, images in views(train, val).items():
        for i, (name, content) in enumerate(images):
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:03d}.jpg").write_bytes(content)
    return root


def write_shard(path, members):
    """A tar file with members of these names and contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_shards(root, train=6, val=2, per_shard=5):
    """The images of `write_folder` in shards of a few."""
    for part, images in views(train, val).items():
        for start in range(0, len(images), per_shard):
            members = []
            for i, (name, content) in enumerate(images[start : start + per_shard], start):
                members += [(f"{i:06d}.jpg", content), (f"{i:06d}.cls", str(CLASSES.index(name)).encode())]
            write_shard(root / part / f"{start:06d}.tar", members)
    return root


def central_square(image, size):
    """What validation is to see of an image, by Pillow."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)))

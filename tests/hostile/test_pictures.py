"""An image gives a square or a reason; what it takes is known before it is decoded, and shared among threads."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pictures
import pytest
from processes import TIME_LIMIT

from d2l import decoding
from d2l.decoding import CorruptImageError, Memory, load
from d2l.image_folders import Example

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning")
SLACK = 16 << 20  # bytes, beside the images: what the interpreter and the allocator take


@pytest.fixture
def example(tmp_path):
    """Makes an image file of a content."""

    def write(content):
        (tmp_path / "a.jpg").write_bytes(content)
        return Example(str(tmp_path / "a.jpg"), 0)

    return write


@pytest.mark.fault("An image is small as a file and takes gigabytes to decode, or hours")
def test_image_that_takes_too_much_is_left_out_with_what_it_takes(example, monkeypatch, sees):
    """Nothing of it is decoded."""

    def decoded(*arguments, **options):
        raise AssertionError("decoded")

    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", decoded)
    wrong = []
    cases = [*pictures.large(), *pictures.busy()]
    for picture in cases:
        with pytest.raises(CorruptImageError) as caught:
            load(example(picture.content), 256)
        if picture.said not in caught.value.reason:
            wrong.append(f"{picture.name}: {caught.value.reason}")
        if picture.name == "RGBA of 13300²":
            sees(str(caught.value))
    assert len(cases) >= 40
    assert not wrong, "\n".join(wrong)


def test_limit_can_be_raised_and_lowered(example):
    large = example(pictures.encoded(pictures.small("RGBA", 1000), "PNG"))
    with pytest.raises(CorruptImageError, match=r"1,000 × 1,000 pixels, which take 16,.* decode_memory=16,000,000$"):
        load(large, 32, Memory(16_000_000))
    assert load(large, 32, Memory(17_000_000)).shape == (32, 32, 3)
    with pytest.raises(CorruptImageError, match=r"a file of [\d,]+ bytes: more than decode_memory=100$"):
        load(large, 32, Memory(100))


def test_broken_image_gives_a_reason_or_a_square(example):
    wrong, reasons = [], 0
    for name, content in pictures.mutated():
        try:
            square = load(example(content), 32, Memory(64 << 20))
        except CorruptImageError as error:
            reasons += 1
            if not error.reason.isprintable():
                wrong.append(f"{name}: {error.reason!r}")
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
        else:
            if square.shape != (32, 32, 3) or square.dtype != np.uint8:
                wrong.append(f"{name}: {square.dtype} {square.shape}")
    assert reasons >= 100
    assert not wrong, "\n".join(wrong)


MEASURE = """
import json, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor

sys.path[:0] = sys.argv[1:]
import pictures
from d2l.decoding import Memory, decode

warnings.simplefilter("ignore")

class Noted(Memory):
    needed = 0

    def reserved(self, needed):
        self.needed = needed
        return super().reserved(needed)

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

def measured(function):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status("VmRSS")
    try:
        function()
    except Exception:
        pass
    return status("VmHWM") - before

def turned(image):
    exif = image.getexif()
    exif[0x0112] = 6
    return {"exif": exif}

taken = {}
for mode in pictures.COLOURS:
    image = pictures.small(mode, 1500)
    contents = {"PNG": pictures.encoded(image, "PNG", compress_level=1)}
    contents["PNG, turned"] = pictures.encoded(image, "PNG", compress_level=1, **turned(image))
    if mode in ("L", "P", "RGB"):
        clear = (1, 2, 3) if mode == "RGB" else 1
        contents["PNG, transparent"] = pictures.encoded(image, "PNG", compress_level=1, transparency=clear)
    if mode in ("L", "RGB"):
        for name, options in {"": {}, ", progressive": {"progressive": True, "subsampling": 0}}.items():
            contents[f"JPEG{name}"] = pictures.encoded(image, "JPEG", **options)
    if mode in ("RGB", "RGBA"):
        for name, options in {"": {}, ", lossless": {"lossless": True, "quality": 0}}.items():
            contents[f"WebP{name}"] = pictures.encoded(image, "WEBP", method=0, **options)
        contents["WebP, turned"] = pictures.encoded(image, "WEBP", method=0, **turned(image))
    for name, content in contents.items():
        memory = Noted()
        taken[f"{name} {mode}"] = [measured(lambda: decode(content, 256, memory)), memory.needed]

for name, content in pictures.with_metadata():
    taken[name] = [measured(lambda: decode(content, 64)), 80 << 20]

content = pictures.encoded(pictures.small("RGBA", 1500), "PNG", compress_level=1)
memory = Noted(80_000_000)
with ThreadPoolExecutor(8) as pool:
    taken["eight threads"] = [
        measured(lambda: list(pool.map(lambda _: decode(content, 256, memory), range(12)))), memory.most
    ]
print(json.dumps(taken))
"""


def test_image_takes_no_more_than_is_known_before():
    """In every mode and format, turned or not, with whatever lies beside the pixels, and in threads together."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("needs Linux, which tells a process's largest memory")
    here = Path(__file__).parent
    # Memory that is given back to the system is not counted twice.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE, str(here), str(here.parent.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)
    wrong = {name: figures for name, figures in taken.items() if figures[0] > figures[1] + SLACK}
    assert len(taken) >= 40
    assert wrong == {}


def test_good_image_is_decoded_whatever_lies_beside_its_pixels(example):
    left_out = {}
    for name, content in pictures.with_metadata():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert load(example(content), 64).shape == (64, 64, 3)
            except CorruptImageError as error:
                left_out[name] = error.reason
    # Pillow refuses these; what they take is measured above.
    refused = {"a profile of 100 MB", "a text of 100 MB", "a text of 100 MB of other signs"}
    assert set(left_out) <= refused | {"300 texts of 1 MB", "300 texts behind"}

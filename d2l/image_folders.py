"""Find labelled image files, in folders by class or in WebDataset shards. What is passed over is counted and said."""

import hashlib
import operator
import os
import posixpath
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import TarInfo
from typing import Any, BinaryIO, NamedTuple

from tqdm import tqdm

from .data_error import DataError
from .smoke_profile import Profile
from .tar import NOT_WHOLE, walk

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
UNNAMED = f"not named *{', *'.join(EXTENSIONS[:-1])} or *{EXTENSIONS[-1]}"
RENAME = "rename JPEG, PNG and WebP images so"
# Other names of images. In a shard, they are not taken for what lies beside an image.
UNREAD = (".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jxl", ".pbm", ".pgm", ".pnm")
UNREAD += (".ppm", ".psd", ".svg", ".tga", ".tif", ".tiff")
# Without loss, as masks and depths are stored beside an image.
LOSSLESS = (".png", ".tif", ".tiff")
LABEL = ".cls"
SHARD = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4", ".tar.z")
# What systems and programs leave in folders, beside names that begin with a dot; in lower case.
LEFT_BEHIND = frozenset(
    {
        "__macosx",
        "icon\r",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@__thumb",
        "@tmp",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "network trash folder",
        "temporary items",
    }
)
# What systems begin the names of their folders with, and people hardly ever those of their classes.
MARKS = ("@", "#", "~", "$")

LAYOUT = "{0}/train/CLASS/*.jpg and {0}/val/CLASS/*.jpg, or shards {0}/train/*.tar and {0}/val/*.tar"
MEMBERS = "Expected: for every image KEY.jpg a member KEY.cls"

SMOKE_IMAGES = {"train": 256, "val": 128}
LABEL_DIGITS = 6
MOST_UNTRAINED = 21_841  # classes of the whole of ImageNet, of which a small part may lack nearly all
LABEL_BYTES = 64  # with blanks and line ends
NAMES_SHOWN = 3

PassedOver = defaultdict[str, list[str]]  # by kind, the names of what is passed over


class Example(NamedTuple):
    """An image file, or a member of a shard, with its class.

    Attributes:
        file: The image file or the shard.
        label: Number of the class.
        member: Name in the shard. It is shown to people only, and never a path.
        start, size: The bytes of ``file`` that are the image; a size of -1 is all of them.
    """

    file: str
    label: int
    member: str = ""
    start: int = 0
    size: int = -1

    @property
    def stored_size(self) -> int:
        """How many bytes the image has as it is stored."""
        return os.path.getsize(self.file) if self.size < 0 else self.size

    @property
    def name(self) -> str:
        """What to call the image in a message."""
        return f"{self.file}: {self.member}" if self.member else self.file

    def read(self) -> bytes:
        """The image as it is stored."""
        with open(self.file, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def _as_stored(example: Example) -> tuple[bytes, int]:
    return example.read(), example.label


@dataclass(frozen=True)
class ImageSet:
    """The images of a training or a validation set. An index gives one of them with its class number.

    Attributes:
        examples: The images, sorted by class or by shard.
        corrupt: Those that were found to be no whole image, by name, with the reason.
        transform: Makes what an index gives of an example: by default its bytes and its label.
    """

    examples: Sequence[Example]
    corrupt: dict[str, str] = field(default_factory=dict)
    transform: Callable[[Example], tuple[Any, int]] = _as_stored

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.examples[operator.index(index)])


def print_line(line: str) -> None:
    """Print a line to standard error, above a progress bar."""
    tqdm.write(line, file=sys.stderr)


def list_images(
    root: str | os.PathLike[str],
    profile: Profile,
    val_split: float | None = None,
    say: Callable[[str], Any] = print_line,
) -> tuple[list[str], ImageSet, ImageSet]:
    """The classes' names, the training set and the validation set that are in a folder.

    Names that begin with a dot, and those of what systems leave in folders, such as ``__MACOSX``, do not count; nor do
    class folders that begin with a mark as folders of systems do, such as ``@``, which is said.
    Of shards, each is read through once, from header to header; the names of their classes are the classes' numbers.

    Args:
        root: Has ``train`` and ``val``, each with a folder of images per class, or with shards: uncompressed tar files
            with members ``KEY.jpg`` and ``KEY.cls``, the number of the class in digits.
        profile: May limit the number of images; those taken are spread evenly over all.
        val_split: Where there is no ``val``, the share of each class's training images to validate on instead. Which
            these are depends on nothing but their names.
        say: Takes lines about what is passed over and how images are split.

    Raises:
        DataError: Something is not there or does not fit; the message says what was expected where.
    """
    root = Path(os.path.expanduser(root))
    train, val = (root / part for part in SMOKE_IMAGES)
    passed_over: PassedOver = defaultdict(list)
    try:
        _require_folders(root, train, val, val_split)
        classes, sets = _list([train, val] if val_split is None else [train], passed_over, say)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error}") from error
    finally:
        if passed_over:
            kinds = "; ".join(f"{kind}: {len(names):,}, such as {names[0]}" for kind, names in passed_over.items())
            say(f"Passed over in {root}: {kinds}")
    if val_split is not None:
        sets = _split(train, sets[0], val_split)
        taken, left = map(len, sets)
        say(f"val_split={val_split}: of the images in {train}, {taken:,} to train on and {left:,} to validate on")
    limits = SMOKE_IMAGES.values() if profile.smoke else [profile.images] * 2
    training, validation = (ImageSet(_spread(x, limit)) for x, limit in zip(sets, limits, strict=True))
    return classes, training, validation


def _require_folders(root: Path, train: Path, val: Path, val_split: float | None) -> None:
    expected = f"no such folder. Expected: {LAYOUT.format(root)}"
    if not train.is_dir():
        raise DataError(f"{train}: {expected}")
    if val_split is None and not val.is_dir():
        raise DataError(f"{val}: {expected}. To validate on a part of {train} instead, give val_split=0.1")
    if val_split is not None and os.path.lexists(val):
        raise DataError(
            f"{val} is there, and val_split={val_split} asks to validate on a part of {train}: leave val_split out, "
            "or move the folder away"
        )


def _list(
    folders: Sequence[Path], passed_over: PassedOver, say: Callable[[str], Any]
) -> tuple[list[str], list[list[Example]]]:
    """The classes' names, and the images of each folder."""
    contents = [_contents(folder, passed_over) for folder in folders]
    if any(_is_shard(entry.name) and not entry.is_dir() for entries in contents for entry in entries):
        return _list_shards(folders, contents, passed_over, say)
    return _list_folders(folders, contents, passed_over)


def _contents(folder: Path, passed_over: PassedOver) -> list[os.DirEntry]:
    """What is in the folder of a set, but for folders that look like a system's."""
    entries = _entries(folder)
    marked = [entry for entry in entries if entry.name.startswith(MARKS) and entry.is_dir()]
    kind = f"folders that begin with {', '.join(MARKS[:-1])} or {MARKS[-1]}, as a system's do (rename those of a class)"
    _note(passed_over, kind, sorted(entry.path for entry in marked))
    return [entry for entry in entries if entry not in marked]


def _entries(folder: str | Path) -> list[os.DirEntry]:
    """What is in a folder, but for what a system or a program has left there."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not _is_left_behind(entry.name)]


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _require_file(entry: os.DirEntry) -> None:
    """Raises a `DataError` for a link to what is not there."""
    if not entry.is_file():
        raise DataError(f"{entry.path} is no file, nor a link to one that is there: remove it, or put the file there")


# Folders by class


def _list_folders(
    folders: Sequence[Path], contents: Sequence[list[os.DirEntry]], passed_over: PassedOver
) -> tuple[list[str], list[list[Example]]]:
    """The names of the classes, and the images of each folder."""
    found = [_images_by_class(folder, entries, passed_over) for folder, entries in zip(folders, contents, strict=True)]
    if len(found) > 1:
        _require_same_classes(folders, *found)
        _require_same_classes(folders[::-1], *found[::-1])
    classes = sorted(found[0])
    sets = [[Example(path, label) for label, name in enumerate(classes) for path in part[name]] for part in found]
    return classes, sets


def _images_by_class(folder: Path, entries: list[os.DirEntry], passed_over: PassedOver) -> dict[str, list[str]]:
    """The paths of the images in each class folder."""
    found, empty, loose = {}, [], []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if not entry.is_dir():
            _require_file(entry)
            loose.append(entry.path)
            continue
        images, others, folders = _sorted_out(entry)
        if images:
            found[entry.name] = images
            _note(passed_over, f"files {UNNAMED} ({RENAME})", others)
            _note(passed_over, "folders in class folders", folders)
        else:
            empty.append(f"{entry.path} {_why_empty(others, folders)}")
    if not found:
        images = sum(_is_image(path) for path in loose)
        hint = f" It has {images:,} images itself: sort them into folders by class." if images else ""
        hint += f" {first_few(empty, '; ')}." if empty else ""
        raise DataError(
            f"{folder}: no images. Expected: {folder}/CLASS/*.jpg ({', '.join(EXTENSIONS)}), or shards "
            f"{folder}/*{SHARD}.{hint}"
        )
    if empty:
        raise DataError(f"Class folders without images: {first_few(empty, '; ')}. Put images there, or remove them")
    _note(passed_over, "files in no class folder", loose)
    return found


def _sorted_out(folder: os.DirEntry) -> tuple[list[str], list[str], list[str]]:
    """The paths of the images in a class folder, of other files, and of folders."""
    images, others, folders = [], [], []
    for entry in _entries(folder.path):
        if entry.is_dir():
            folders.append(entry.path)
        elif not _is_image(entry.name):
            others.append(entry.path)
        else:
            _require_file(entry)
            images.append(entry.path)
    return sorted(images), sorted(others), sorted(folders)


def _why_empty(others: Sequence[str], folders: Sequence[str]) -> str:
    reasons = []
    if others:
        hint = "; shards belong in the folder above" if any(map(_is_shard, others)) else ""
        reasons.append(f"files {UNNAMED} ({len(others):,}, such as {others[0]}: {RENAME}{hint})")
    if folders:
        reasons.append(f"folders, in which no images are looked for ({len(folders):,}, such as {folders[0]})")
    return f"has only {' and '.join(reasons)}" if reasons else "is empty"


def _note(passed_over: PassedOver, kind: str, names: Sequence[str]) -> None:
    if names:
        passed_over[kind] += names


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


# Shards


def _is_shard(name: str) -> bool:
    return name.lower().endswith((SHARD, *COMPRESSED))


def _list_shards(
    folders: Sequence[Path],
    contents: Sequence[list[os.DirEntry]],
    passed_over: PassedOver,
    say: Callable[[str], Any],
) -> tuple[list[str], list[list[Example]]]:
    """The numbers of the classes as names, and the images of each folder's shards."""
    shards = [_shards_of(folder, entries, passed_over) for folder, entries in zip(folders, contents, strict=True)]
    sets = [[] for _ in folders]
    with tqdm(total=sum(map(len, shards)), desc="reading shards", file=sys.stderr, leave=False) as bar:
        for examples, files in zip(sets, shards, strict=True):
            for file in files:
                examples += _list_shard(file, passed_over)
                bar.update()
    train, *val = ({example.label for example in examples} for examples in sets)
    # A small validation set may lack a class; what is never trained cannot be validated.
    for labels in val:
        _require_same_classes(folders[::-1], labels, train)
    classes = range(max(train) + 1)
    untrained = [str(label) for label in classes if label not in train]
    if len(untrained) > MOST_UNTRAINED:
        last = max(sets[0], key=lambda example: example.label)
        raise DataError(
            f"{last.name} is of class {last.label}, and {len(untrained):,} classes of a lower number have no training "
            "image. Expected: classes numbered from 0"
        )
    if untrained:
        names = first_few(untrained)
        say(f"Classes without a training image, of the {len(classes):,} numbered from 0: {names}")
    return [str(label) for label in classes], sets


def _shards_of(folder: Path, entries: list[os.DirEntry], passed_over: PassedOver) -> list[str]:
    """The paths of a folder's shards."""
    folders = sorted(entry.name for entry in entries if entry.is_dir())
    files = sorted((entry for entry in entries if not entry.is_dir()), key=lambda entry: entry.name)
    shards = [entry for entry in files if _is_shard(entry.name)]
    if not shards:
        raise DataError(f"{folder}: no shards. Expected: {LAYOUT.format(folder.parent)}")
    if folders:
        raise DataError(
            f"{folder} has shards, such as {shards[0].name}, and folders, such as {folders[0]}: keep one kind"
        )
    for entry in shards:
        _require_file(entry)
        if not entry.name.lower().endswith(SHARD):
            raise DataError(
                f"{entry.path} is compressed, and images are read where they lie in a shard: unpack it to a plain "
                f"{SHARD} file, and move it away"
            )
    _note(passed_over, "files that are no shards", [entry.path for entry in files if not _is_shard(entry.name)])
    return [entry.path for entry in shards]


def _list_shard(file: str, passed_over: PassedOver) -> list[Example]:
    """The images of one shard. A key is what stands before the last dot."""
    images: dict[str, TarInfo] = {}
    labels: dict[str, TarInfo] = {}
    others: dict[str, list[str]] = defaultdict(list)
    for member in walk(file):
        name = posixpath.normpath(member.name)
        key, extension = posixpath.splitext(name)
        extension = extension.lower()
        if member.isdir() or any(map(_is_left_behind, _parts(name))):
            continue
        if extension in EXTENSIONS or extension in UNREAD:
            _add(file, images, key, member, "images")
        elif extension == LABEL:
            _add(file, labels, key, member, "labels")
        else:
            others[key].append(member.name)
    whole = images.keys() & labels.keys()
    for key in [key for key, member in images.items() if key not in whole and _is_further(key, member.name, whole)]:
        others[key].append(images.pop(key).name)
    _require_pairs(file, images, labels)
    for key, names in others.items():
        kind = "further members of a key" if _belongs(key, whole) else "members whose key has neither image nor label"
        _note(passed_over, f"{kind} in shards", [f"{file}: {name}" for name in names])
    examples = []
    with open(file, "rb") as shard:
        for key, member in images.items():
            if key in whole:
                if not _is_image(member.name):
                    raise DataError(f"{file}: {member.name} is an image {UNNAMED}: {RENAME}, and make others a JPEG")
                label = _read_label(shard, labels[key])
                examples.append(Example(file, label, member.name, member.offset_data, member.size))
    if not examples:
        raise DataError(f"{file}: no images. {MEMBERS}")
    return examples


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in (".", "..")]


def _belongs(key: str, whole: Set[str]) -> bool:
    """Whether it is a whole key or begins with one, as KEY.mask does: WebDataset's own keys end at the first dot."""
    while key not in whole:
        key, rest = posixpath.splitext(key)
        if not rest:
            return False
    return True


def _is_further(key: str, name: str, whole: Set[str]) -> bool:
    """Whether an image without a label is a mask or the like of another; KEY.5.png has lost its label."""
    _, rest = posixpath.splitext(key)
    return rest[1:2].isalpha() and name.lower().endswith(LOSSLESS) and _belongs(key, whole)


def _add(file: str, found: dict[str, TarInfo], key: str, member: TarInfo, kind: str) -> None:
    """Keep an image or a label by its key, of which there is to be one."""
    if not member.isreg():
        raise DataError(f"{file}: {member.name} {NOT_WHOLE}")
    if key in found:
        first = found[key].name
        what = f"{first} is there twice" if first == member.name else f"{first} and {member.name} have one key"
        raise DataError(f"{file}: {what}, and two {kind}. {MEMBERS}, and no more of either")
    found[key] = member


def _require_pairs(file: str, images: Mapping[str, TarInfo], labels: Mapping[str, TarInfo]) -> None:
    """Raises a `DataError` for an image without a label and for a label without an image."""
    for found, there, lack in ((images, labels, "label"), (labels, images, "image")):
        alone = found.keys() - there.keys()
        if alone:
            raise DataError(f"{file}: {found[min(alone)].name} has no {lack}. {MEMBERS}")


def _read_label(shard: BinaryIO, member: TarInfo) -> int:
    shard.seek(member.offset_data)
    content = shard.read(min(member.size, LABEL_BYTES)).strip()
    if not content.isdigit() or len(content) > LABEL_DIGITS or member.size > LABEL_BYTES:
        raise DataError(
            f"{shard.name}: {member.name} is {content!r}. Expected: a class number of 1 to {LABEL_DIGITS} digits"
        )
    return int(content)


# Both


def _require_same_classes(folders: Sequence[Path], these: Iterable[Any], those: Iterable[Any]) -> None:
    """Raises a `DataError` if not all classes of the first folder are those of the second, too."""
    missing = sorted(set(these) - set(those))
    if missing:
        names = first_few([str(name) for name in missing])
        raise DataError(f"{folders[0]} has images of classes that have none in {folders[1]}: {names}")


def first_few(names: Sequence[str], separator: str = ", ") -> str:
    """A few of the names in one text, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return separator.join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _split(folder: Path, examples: list[Example], share: float) -> tuple[list[Example], list[Example]]:
    """The training images without a share of each class, at least one, and these; of an only one, training has it."""
    by_class: dict[int, list[Example]] = defaultdict(list)
    for example in examples:
        by_class[example.label].append(example)

    def drawn(example: Example) -> bytes:
        """Stands in for a random number; the same wherever the folder lies."""
        name = example.name.removeprefix(str(folder)).replace(os.sep, "/")
        return hashlib.sha256(os.fsencode(name)).digest()

    val: set[Example] = set()
    for own in by_class.values():
        val.update(sorted(own, key=drawn)[: min(max(round(share * len(own)), 1), len(own) - 1)])
    if not val:
        raise DataError(f"val_split={share}: {folder} has one image of each class, and none to validate on")
    return [e for e in examples if e not in val], [e for e in examples if e in val]


def _spread(examples: list[Example], limit: int | None) -> list[Example]:
    """At most ``limit`` examples, spread evenly: they are sorted by class."""
    n = min(limit or len(examples), len(examples))
    return [examples[i * len(examples) // n] for i in range(n)]

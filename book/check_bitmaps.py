"""Pictures of pixels: whether programs can show them."""

import base64
import io
import math
import warnings
from typing import Any

from PIL import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
PIXELS = 50_000_000
LARGEST = 10_000  # pixels: LaTeX knows no length of twice as much
RATIO = 500  # of a picture's sides: beyond, LaTeX cannot count


class PictureError(Exception):
    """A picture that programs cannot show; the message says why, such as ``it is no PNG``."""


def check_pixels(kind: str, data: Any) -> None:
    """Check that a picture of pixels is whole, not too large, and no line: see `check_image`.

    Raises:
        PictureError: As there, or one of its sides is more than `RATIO` of the other.
    """
    width, height = check_image(kind, data)
    if max(width, height) > RATIO * min(width, height):
        raise PictureError(f"its {width:,} x {height:,} pixels are a line")


def check_image(kind: str, data: Any) -> tuple[int, int]:
    """Check that a picture of pixels is whole and not too large; gives its width and height.

    Args:
        kind: Its media type, ``image/png`` or ``image/jpeg``.
        data: The file in base64.

    Raises:
        PictureError: It is none of this kind, is broken or cut off, or its sides are beyond `PIXELS` or `LARGEST`.
    """
    name = FORMATS[kind]
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (AttributeError, ValueError):  # of what is no text, and of other letters
        raise PictureError("it is no base64") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's of large pictures; these have their limits here
        try:
            with Image.open(io.BytesIO(content), formats=[name]) as image:
                if max(image.size) > LARGEST or math.prod(image.size) > PIXELS:
                    raise PictureError(f"its {image.width:,} x {image.height:,} pixels are too many")
                image.load()
                return image.size
        except (PictureError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise PictureError("its pixels are too many") from None
        except Exception:  # decoders raise whatever comes to them over a broken file
            begins = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8"}[name]
            problem = "it is broken or cut off" if content.startswith(begins) else f"it is no {name}"
            raise PictureError(problem) from None

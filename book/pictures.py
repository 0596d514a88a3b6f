"""Pictures of pixels: whether programs can show them."""

import base64
import io
import math
import warnings
from typing import Any

from PIL import Image

from .svg import LARGEST, RATIO

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
PIXELS = 50_000_000


class PictureError(Exception):
    """A picture that programs cannot show; the message says why, such as ``it is no PNG``."""


def check_pixels(kind: str, data: Any) -> None:
    """Check that a picture of pixels is whole and not too large.

    Args:
        kind: Its media type, ``image/png`` or ``image/jpeg``.
        data: The file in base64.

    Raises:
        PictureError: It is none of this kind, is broken or cut off, or its sides are beyond `PIXELS`, `LARGEST` or
            `RATIO`.
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
                if max(image.size) > RATIO * min(image.size):
                    raise PictureError(f"its {image.width:,} x {image.height:,} pixels are a line")
                image.load()
        except (PictureError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise PictureError("its pixels are too many") from None
        except Exception:  # decoders raise whatever comes to them over a broken file
            begins = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8"}[name]
            problem = "it is broken or cut off" if content.startswith(begins) else f"it is no {name}"
            raise PictureError(problem) from None

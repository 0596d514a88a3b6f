"""Numbers shown as pixels: black is zero, positive ones are white, negative ones blue, as `theme/pixels.js` has it."""

import base64
import io
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image
from style import add

SHARPNESS = 3  # pixels of an image for each unit of a figure: what makes PDFs of figures would blur fewer
NEGATIVE = (100, 175, 255)  # red, green, blue; visible on white and black, and to colour-blind readers unlike grey


def colours(values: np.ndarray, largest: float) -> np.ndarray:
    """Return `values` between `-largest` and `largest` as colours: `uint8`, one axis more."""
    shares = np.clip(np.abs(values) / largest, 0, 1)[..., None]
    return np.where(values[..., None] >= 0, shares * 255, shares * NEGATIVE).round().astype(np.uint8)


def embedded(image: np.ndarray) -> str:
    """Return an image, grey or in colour, as an address that holds it whole."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def add_pixels(group: ET.Element, image: np.ndarray, x: float, y: float, width: float) -> None:
    """Add an image, each of its pixels a sharp square, so that it is `width` wide."""
    zoom = round(SHARPNESS * width / image.shape[1])
    height = width * image.shape[0] / image.shape[1]
    address = embedded(image.repeat(zoom, 0).repeat(zoom, 1))
    add(group, "image", href=address, x=x, y=y, width=float(width), height=float(height))

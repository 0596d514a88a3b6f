"""Lay small pictures out side by side, on the ground that the figures share."""

import numpy as np
from PIL import Image, ImageDraw
from style import GROUND, RIM

GAP, MARGIN, RADIUS = 3, 18, 20  # pixels between tiles and around them, and of the rounded corners


def contact_sheet(tiles: np.ndarray, columns: int, zoom: int) -> Image.Image:
    """Return `tiles`, `uint8` of shape (n, height, width, 3), row by row, each of their pixels a square of `zoom`."""
    n, height, width, _ = tiles.shape
    down, across = height * zoom + GAP, width * zoom + GAP
    size = columns * across - GAP + 2 * MARGIN, -(-n // columns) * down - GAP + 2 * MARGIN
    sheet = Image.new("RGBA", size)
    last = size[0] - 1, size[1] - 1
    ImageDraw.Draw(sheet).rounded_rectangle(((0, 0), last), RADIUS, fill=GROUND, outline=RIM, width=2)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        large = Image.fromarray(tile).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        sheet.paste(large, (MARGIN + column * across, MARGIN + row * down))
    return sheet

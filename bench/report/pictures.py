"""A run's samples as a picture."""

import io

import numpy as np
from PIL import Image
from torch import Tensor


def grid_png(images: Tensor, zoom: int = 4) -> bytes:
    """A PNG of images[N, C, H, W] in [-1, 1], C of 1 or 3, as a grid of near-square shape, each pixel `zoom` wide."""
    count, channels, height, width = images.shape
    columns = int(np.ceil(count**0.5))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, channels), 255, dtype=np.uint8)
    cells[:count] = ((images.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().clip(0, 255)
    page = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(page.squeeze(-1) if channels == 1 else page).resize((columns * width * zoom, rows * height * zoom), 0)
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()

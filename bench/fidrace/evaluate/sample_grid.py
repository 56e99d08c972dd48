"""A run's samples as PNG images."""

import io

import numpy as np
from PIL import Image
from torch import Tensor

MOST_IN_FRAME = 36


def grid_png(images: Tensor, zoom: int = 5) -> bytes:
    """A PNG of images[N, C, H, W] in [-1, 1], C of 1 or 3, in a near-square grid with thin rules, each pixel `zoom` wide."""
    count, channels, height, width = images.shape
    columns = int(np.ceil(count**0.5))
    rows = -(-count // columns)
    pixels = ((np.nan_to_num(images.permute(0, 2, 3, 1).numpy()) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    cells = np.full((rows * columns, height * zoom + 2, width * zoom + 2, channels), 96, dtype=np.uint8)
    cells[:count, 1:-1, 1:-1] = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    page = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2).reshape(rows * cells.shape[1], -1, channels)
    buffer = io.BytesIO()
    Image.fromarray(page.squeeze(-1) if channels == 1 else page).save(buffer, format="png")
    return buffer.getvalue()


def frame_png(images: Tensor) -> bytes:
    """A small PNG of the first of images[N, C, H, W], at most MOST_IN_FRAME, for a page that shows many."""
    side = max(images.shape[2:])
    across = min(max(192 // side, 2), int(MOST_IN_FRAME**0.5))
    return grid_png(images[: across**2], zoom=max(32 // side, 1))

"""Figures: they take tensors, return a matplotlib Figure with `alt` text, and never show.

A figure looks the same whatever the reader's rcParams: opaque white, colour-blind-safe, and no
meaning is carried by colour alone. `fig.show()` shows one in a script, `save` writes a file.
"""

from .charts import confusion, curve, embedding, losses
from .galleries import COLUMNS, ROWS, compare, gallery, generators, image_grid, save
from .theme import Figure, style

__all__ = [
    "COLUMNS",
    "ROWS",
    "Figure",
    "compare",
    "confusion",
    "curve",
    "embedding",
    "gallery",
    "generators",
    "image_grid",
    "losses",
    "save",
    "style",
]

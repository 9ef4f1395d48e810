"""What a generator is compared with: other methods, called as `invert` is, and sampled alike."""

from collections.abc import Callable

from .ascent import Ascent, AscentConfig
from .dafl import Dafl, DaflLoss, dafl
from .deep_inversion import Descent, DescentConfig, pixel_descent
from .paper_generator import Template, invert_with_template
from .pixel_ascent import PRESETS, pixel_ascent

# By name, for tables; add your own: a function (classifier, **settings) -> an object whose
# `sample(per_class, seed=, classes=)` returns images (N,C,H,W) and labels (N,).
BASELINES: dict[str, Callable] = {
    "pixel-ascent": pixel_ascent,
    "deep-inversion": pixel_descent,
    "dafl": dafl,
}

__all__ = [
    "BASELINES",
    "PRESETS",
    "Ascent",
    "AscentConfig",
    "Dafl",
    "DaflLoss",
    "Descent",
    "DescentConfig",
    "Template",
    "dafl",
    "invert_with_template",
    "pixel_ascent",
    "pixel_descent",
]

"""What is trained: generators from latents and conditions to images."""

from .fields import FIELD, deformed, shaded
from .grid import ConditionedGenerator, smooth
from .pyramid import PyramidGenerator, resolutions

__all__ = ["ConditionedGenerator", "PyramidGenerator", "deformed", "shaded"]

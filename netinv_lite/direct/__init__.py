"""Direct inversion: one pass from a representation back to the image, learned without data."""

from .cost import estimate
from .decoders import inverse_of
from .inverse import DirectConfig, LayerwiseInverse, into_range
from .likeness import identified
from .partition import Block, chain, split
from .training import invert_layers

__all__ = [
    "Block",
    "DirectConfig",
    "LayerwiseInverse",
    "chain",
    "estimate",
    "identified",
    "into_range",
    "inverse_of",
    "invert_layers",
    "split",
]

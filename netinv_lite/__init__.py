"""Network inversion: see what a classifier takes for each class, and whether to believe it."""

from importlib import import_module

from .architectures import CNN, MLP, VGG, ResNet, ResNet20, ViT
from .classifiers import load_classifier, load_judge, load_referee
from .conditioning import Condition, Label, Matrix, SoftTargets, Vector, VectorMatrix
from .data import ImageData, load_data
from .generator import Generator
from .inversion import Inversion, invert
from ._core.loop import Interrupted
from .losses import InversionLoss
from .presets import PRESETS, InversionConfig
from .teaching import attempt
from .together import invert_many
from .training import FitConfig, fit
from .weights import about

__version__ = "0.1.0"
# Imported when first used, so that importing the package stays quick.
_LAZY = (
    "plot", "metrics", "baselines", "descent", "dafl", "distillation", "ood", "outliers",
    "direct", "synthetic", "reconstruction", "privacy", "benchmark", "experiments", "quality",
    "front", "shortcuts", "learned", "learners", "memory", "surrogates", "zeroshot",
    "reversal", "deep", "studies",
)  # fmt: skip


def __getattr__(name: str):
    if name in _LAZY:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

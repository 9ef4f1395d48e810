# What `netinv_lite` offers, read by the package itself when a name is first used.
from . import (
    applications,
    baselines,
    conditioning,
    data,
    direct,
    ensemble,
    exercises,
    generator,
    inversion,
    live,
    losses,
    metrics,
    models,
    plot,
    presets,
    studies,
)
from ._core.boundary import Target
from ._core.freezing import frozen
from ._core.hooks import Tap, batch_statistics, final_linear
from ._core.loop import Interrupted
from ._core.serialization import about
from .applications import distillation, ood, ood_scores, privacy, reconstruction, shortcuts
from .conditioning import Condition, Label, Matrix, SoftTargets, Vector, VectorMatrix
from .data import ImageData, load_data
from .ensemble import invert_many
from .exercises import attempt
from .generator import ConditionedGenerator, PyramidGenerator
from .inversion import Inversion, invert
from .live import to_page
from .losses import InversionLoss
from .models import (
    CNN,
    MLP,
    VGG,
    FitConfig,
    ResNet,
    ResNet20,
    ViT,
    fit,
    load_classifier,
    load_judge,
    load_referee,
)
from .presets import PRESETS, InversionConfig, Preset

__version__: str
__all__ = [
    "CNN",
    "MLP",
    "PRESETS",
    "VGG",
    "Condition",
    "ConditionedGenerator",
    "FitConfig",
    "ImageData",
    "Interrupted",
    "Inversion",
    "InversionConfig",
    "InversionLoss",
    "Label",
    "Matrix",
    "Preset",
    "PyramidGenerator",
    "ResNet",
    "ResNet20",
    "SoftTargets",
    "Tap",
    "Target",
    "Vector",
    "VectorMatrix",
    "ViT",
    "about",
    "applications",
    "attempt",
    "baselines",
    "batch_statistics",
    "conditioning",
    "data",
    "direct",
    "distillation",
    "ensemble",
    "exercises",
    "final_linear",
    "fit",
    "frozen",
    "generator",
    "inversion",
    "invert",
    "invert_many",
    "live",
    "load_classifier",
    "load_data",
    "load_judge",
    "load_referee",
    "losses",
    "metrics",
    "models",
    "ood",
    "ood_scores",
    "plot",
    "presets",
    "privacy",
    "reconstruction",
    "shortcuts",
    "studies",
    "to_page",
]

"""Measuring an inversion: who predicts the target class, and how diverse the images are."""

from .diversity import (
    excess_vendi,
    inter_class_cosine,
    intra_class_cosine,
    prdc,
    vendi_by_class,
    vendi_score,
)
from .recognition import (
    conditional_kl,
    confidence,
    confusion,
    features,
    inversion_accuracy,
    judge_accuracy,
    logits,
)
from .report import report

__all__ = [
    "conditional_kl",
    "confidence",
    "confusion",
    "excess_vendi",
    "features",
    "inter_class_cosine",
    "intra_class_cosine",
    "inversion_accuracy",
    "judge_accuracy",
    "logits",
    "prdc",
    "report",
    "vendi_by_class",
    "vendi_score",
]

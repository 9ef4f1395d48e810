"""Every study of the book by its name: `python -m netinv_lite experiment NAME`."""

from __future__ import annotations

from . import (
    ablations,
    architectures,
    benchmark,
    confusions,
    datasets,
    direct_architectures,
    direct_losses,
    direct_photographs,
    direct_resnet,
    distillation,
    gan_inversion,
    hundred_classes,
    large_generator,
    memorisation,
    ood,
    photographs,
    readability_diversity,
    shortcuts,
    synthesis,
)
from .runner import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    study.name: study
    for study in (
        *ablations.STUDIES,
        datasets.STUDY,
        readability_diversity.STUDY,
        ood.STUDY,
        ood.LONGER_STUDY,
        distillation.STUDY,
        shortcuts.STUDY,
        confusions.STUDY,
        memorisation.STUDY,
        direct_losses.STUDY,
        direct_resnet.STUDY,
        gan_inversion.RECOVERY,
        gan_inversion.REPAIR,
        direct_architectures.STUDY,
        benchmark.STUDY,
        synthesis.STUDY,
        large_generator.STUDY,
        photographs.STUDY,
        direct_photographs.STUDY,
        hundred_classes.STUDY,
        architectures.STUDY,
    )
}

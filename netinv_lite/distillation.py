"""Data-free distillation: a student that has seen nothing but inverted images."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .data import check_positive, check_whole
from .inversion import Inversion
from .probe import device_of, frozen, on_device, seeded


@dataclass(frozen=True)
class DistillConfig:
    """How long and how softly the student is taught.

    `temperature` divides both networks' logits: what the teacher finds second and third best is
    what teaches most. `shift` moves every batch by up to so many pixels.
    """

    steps: int = 1500
    batch_size: int = 128
    lr: float = 2e-3
    temperature: float = 4.0
    shift: int = 2

    def __post_init__(self):
        check_whole(self, steps=1, batch_size=2, shift=0)
        check_positive(self, "lr", "temperature")


def distill(
    inversions: Inversion | Sequence[Inversion], student: nn.Module, *,
    config: DistillConfig | None = None, seed: int = 0, progress: bool = True,
) -> nn.Module:  # fmt: skip
    """A copy of `student`, trained to answer as the inverted classifier does, without any data.

    min over the student's weights of E[KL(softmax(t(x)/T) ‖ softmax(s(x)/T))], x new images of the
    `inversions` in turn, t their classifier, T the temperature; Adam with a falling learning rate.
    The inversions must be of one classifier. Returned in eval mode; `student` is left as it was.

    Raises ValueError for inversions of different classifiers or a student that does not give the
    teacher's number of logits, FloatingPointError for a loss that is not finite.
    Source: Hinton et al. 2015 (distillation); Chen et al. 2019 (with generated images, DAFL).
    """
    inversions = [inversions] if isinstance(inversions, Inversion) else list(inversions)
    if not inversions:
        raise ValueError("No inversion to learn from: give at least one.")
    teacher = inversions[0].classifier
    if any(other.classifier is not teacher for other in inversions):
        raise ValueError("The inversions are of different classifiers; a student has one teacher.")
    turns = itertools.cycle(inversions)
    return teach(teacher, lambda n: _images(next(turns), n), student, config=config, seed=seed,
                 progress=progress)  # fmt: skip


def teach(
    teacher: nn.Module, source: Callable[[int], Tensor], student: nn.Module, *,
    config: DistillConfig | None = None, seed: int = 0, progress: bool = True,
) -> nn.Module:  # fmt: skip
    """As `distill`, with images from anywhere: source(n) -> (n,C,H,W) in the teacher's range.

    For controls: real images, noise, images of another method.
    """
    config, device = config or DistillConfig(), device_of(teacher)
    student = copy.deepcopy(on_device(student, device)).train()
    adam = torch.optim.Adam(student.parameters(), config.lr)
    decay = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.02, total_iters=config.steps)
    bar = tqdm(range(config.steps), desc="distill", unit="step", disable=not progress)
    with seeded(seed, device), frozen(teacher):
        for step in bar:
            x = source(config.batch_size).to(device)
            moves = torch.randint(-config.shift, config.shift + 1, (2,)).tolist()
            loss = _divergence(teacher, student, x.roll(moves, (-2, -1)), config.temperature)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"The student's loss is not finite at step {step}: lower "
                                         f"lr={config.lr}.")  # fmt: skip
            adam.zero_grad()
            loss.backward()
            adam.step()
            decay.step()
    return student.eval()


def _images(inversion: Inversion, n: int) -> Tensor:
    """n new images, the classes equally often."""
    z = torch.randn(n, inversion.config.latent_dim)
    return inversion.images(inversion.conditioning.draw(n).v, z)


def _divergence(teacher: nn.Module, student: nn.Module, x: Tensor, T: float) -> Tensor:
    with torch.no_grad():
        wanted = (teacher(x) / T).softmax(1)
    answer = student(x)
    if answer.shape != wanted.shape:
        raise ValueError(f"The student answers with {tuple(answer.shape[1:])} logits, the teacher "
                         f"with {wanted.shape[1]}.")  # fmt: skip
    return F.kl_div((answer / T).log_softmax(1), wanted, reduction="batchmean")

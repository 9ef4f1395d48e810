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

from .._core.boundary import answer
from .._core.device import device_of, on_device, unwrapped
from .._core.freezing import frozen
from .._core.loop import Interrupted
from .._core.random_state import learning
from .._core.validation import check_positive, check_whole
from ..inversion import Inversion
from ..models.training import check_trainable, descend


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

    `student` is left as it was.

    min over the student's weights of E[KL(softmax(t(x)/T) ‖ softmax(s(x)/T))], x new images of the
    `inversions` in turn, t their classifier, T the temperature; Adam with a falling learning rate.

    Args:
        inversions: one or several, of one classifier.
        student: a network from the same images (B,C,H,W) to the same number of logits.
        config: how it is taught.
        seed: of the images and the student's dropout.
        progress: whether a bar is shown.

    Returns:
        The student that has learned, in eval mode.

    Raises:
        ValueError: the inversions are of different classifiers, or the student does not give the
            teacher's number of logits.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the student so far is in `.inversion`.

    Source: Hinton et al. 2015 (distillation); Chen et al. 2019 (with generated images, DAFL).
    """
    inversions = [inversions] if isinstance(inversions, Inversion) else list(inversions)
    if not inversions or not all(isinstance(i, Inversion) for i in inversions):
        raise ValueError("No inversion to learn from: give at least one, made by `invert`; other "
                         "images teach through `teach`.")  # fmt: skip
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
    config, teacher = config or DistillConfig(), unwrapped(teacher)
    device = device_of(teacher)
    bar = tqdm(range(config.steps), desc="distill", unit="step", disable=not progress)
    with learning(seed, device), frozen(teacher):
        student = copy.deepcopy(on_device(student, device)).train()
        check_trainable(student)
        adam = torch.optim.Adam(student.parameters(), config.lr)
        decay = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.02, total_iters=config.steps)
        try:
            for step in bar:
                x = _drawn(source, config.batch_size).to(device)
                moves = torch.randint(-config.shift, config.shift + 1, (2,)).tolist()
                loss = _divergence(teacher, student, x.roll(moves, (-2, -1)), config.temperature)
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"The student's loss is not finite at step {step}: "
                                             f"lower lr={config.lr}.")  # fmt: skip
                descend(loss, adam, student)
                decay.step()
        except KeyboardInterrupt as stop:
            raise Interrupted(student.eval(), f"Stopped at step {step} of {config.steps}; the "
                              "student so far is in `.inversion`.") from stop  # fmt: skip
    return student.eval()


def _drawn(source: Callable[[int], Tensor], n: int) -> Tensor:
    """The images (n,C,H,W) that a source gives when it is asked for n."""
    x = source(n)
    if not isinstance(x, Tensor) or x.ndim != 4 or len(x) != n or not x.is_floating_point():
        got = f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"source({n}) must return {n} images (n,C,H,W) in the teacher's range; it "
                         f"returned {got}.")  # fmt: skip
    return x


def _images(inversion: Inversion, n: int) -> Tensor:
    """n new images, the classes equally often."""
    z = torch.randn(n, inversion.config.latent_dim)
    return inversion.images(inversion.conditioning.draw(n).v, z)


def _divergence(teacher: nn.Module, student: nn.Module, x: Tensor, T: float) -> Tensor:
    with torch.no_grad():
        wanted = (answer(teacher, x) / T).softmax(1)
    answers = answer(student, x)
    if answers.shape != wanted.shape:
        raise ValueError(f"The student answers with {tuple(answers.shape[1:])} logits, the teacher "
                         f"with {wanted.shape[1]}.")  # fmt: skip
    return F.kl_div((answers / T).log_softmax(1), wanted, reduction="batchmean")

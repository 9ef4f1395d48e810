"""Data-free distillation: a student that has seen nothing but inverted images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .._core.boundary import answer, probe_logits, signature
from .._core.device import device_of, on_device, unwrapped
from .._core.freezing import frozen
from .._core.loop import Interrupted, OnStep
from .._core.random_state import learning
from .._core.serialization import fingerprint
from .._core.validation import check_images, check_positive, check_whole, config_of
from ..direct import synthetic
from ..inversion import Inversion
from ..models.steps import check_trainable, descend

__all__ = ["DistillConfig", "distill", "teach"]


@dataclass(frozen=True)
class DistillConfig:
    """How long and how softly the student is taught.

    Args:
        steps: of Adam, one batch of new images each.
        batch_size: images in a step.
        lr: the learning rate that the steps begin with.
        temperature: divides the logits of both networks: what the teacher finds second and third
            best is what teaches most.
        shift: how far every batch is moved at most, in pixels.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import netinv_lite as nil
        >>> nil.distillation.DistillConfig(steps=100).temperature
        4.0
    """

    steps: int = 1500
    batch_size: int = 128
    lr: float = 2e-3
    temperature: float = 4.0
    shift: int = 2

    def __post_init__(self) -> None:
        check_whole(self, steps=1, batch_size=2, shift=0)
        check_positive(self, "lr", "temperature")


def distill(
    inversions: Inversion | Sequence[Inversion],
    student: nn.Module,
    *,
    config: DistillConfig | None = None,
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> nn.Module:
    """A copy of `student`, trained to predict as the inverted classifier does, without any data.

    min over the student's weights of E[KL(softmax(t(x)/T) ‖ softmax(s(x)/T))], x new images of the
    `inversions` in turn, t their classifier, T the temperature; Adam with a falling learning rate.

    Args:
        inversions: one or several, of one classifier.
        student: a network from the same images (B,C,H,W) to the same number of logits; it is left
            as it was.
        config: how it is taught.
        seed: of the images and the student's dropout.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, student) after every step; `row` holds the `loss`.

    Returns:
        The student that has learned, in eval mode.

    Raises:
        ValueError: the inversions are of different classifiers, or the student does not give the
            teacher's number of logits.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the student so far is in `.inversion`.

    Source: Hinton et al. 2015 (distillation); Chen et al. 2019 (with generated images, DAFL).

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=5, batch_size=32)
        >>> inversion = nil.invert(classifier, config=quick, progress=False)
        >>> few, losses = nil.distillation.DistillConfig(steps=3, batch_size=16), []
        >>> student = nil.distillation.distill(
        ...     inversion,
        ...     nil.CNN((1, 28, 28), 10, widths=(8, 16)),
        ...     config=few,
        ...     progress=False,
        ...     on_step=lambda step, row, student: losses.append(row["loss"]),
        ... )
        >>> nil.metrics.logits(student, inversion.sample(1)[0]).shape, len(losses)
        (torch.Size([10, 10]), 3)
    """
    inversions = [inversions] if isinstance(inversions, Inversion) else list(inversions)
    if not inversions or not all(isinstance(i, Inversion) for i in inversions):
        raise ValueError(
            "No inversion to learn from: give at least one, made by `invert`; other "
            "images teach through `teach`."
        )
    teacher = inversions[0].classifier
    if any(not _alike(other.classifier, teacher) for other in inversions):
        raise ValueError(
            "The inversions are of different classifiers; a student has one teacher. Give those of "
            "one classifier, or call `teach` with a source of images for each teacher in turn."
        )
    images = synthetic.inverted(inversions)
    settings = {"config": config, "seed": seed, "progress": progress, "on_step": on_step}
    return teach(teacher, images, student, **settings)


def _alike(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks are one, or copies, as `invert` makes them on another device."""
    states = (network.state_dict() for network in (a, b))
    return a is b or (repr(a) == repr(b) and len(set(map(fingerprint, states))) == 1)


def teach(
    teacher: nn.Module,
    source: Callable[[int], Tensor],
    student: nn.Module,
    *,
    config: DistillConfig | None = None,
    seed: int = 0,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> nn.Module:
    """As `distill`, with images from anywhere: real images, noise, images of another method.

    Args:
        teacher: the classifier whose logits are the targets; it is left as it was.
        source: source(n) -> images (n,C,H,W) in the teacher's input range.
        student: a network from the same images to the same number of logits; it is left as it was.
        config: how it is taught.
        seed: of torch's random numbers, those of the source among them.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, student) after every step; `row` holds the `loss`.

    Returns:
        The student that has learned, in eval mode.

    Raises:
        ValueError: the source gives something else than images, or the student does not give the
            teacher's number of logits.
        FloatingPointError: the loss is no longer finite.
        Interrupted: on Ctrl-C; the student so far is in `.inversion`.

    Source: Hinton et al. 2015.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> teacher, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> student = nil.distillation.teach(
        ...     teacher,
        ...     lambda n: data.x_train[torch.randint(len(data.x_train), (n,))],
        ...     nil.CNN((1, 28, 28), 10, widths=(8, 16)),
        ...     config=nil.distillation.DistillConfig(steps=3, batch_size=16),
        ...     progress=False,
        ... )
        >>> student.training
        False
    """
    config, teacher = config_of(config, DistillConfig()), unwrapped(teacher)
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
                if step == 0:
                    _check_first(teacher, student, x)
                moves = torch.randint(-config.shift, config.shift + 1, (2,)).tolist()
                loss = _divergence(teacher, student, x.roll(moves, (-2, -1)), config.temperature)
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"The student's loss is not finite at step {step}: lower lr={config.lr}."
                    )
                descend(loss, adam, student)
                decay.step()
                if on_step is not None:
                    on_step(step + 1, {"loss": loss.item()}, student)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                student.eval(),
                f"Stopped at step {step} of {config.steps}; the student so far is in `.inversion`.",
            ) from stop
    return student.eval()


def _drawn(source: Callable[[int], Tensor], n: int) -> Tensor:
    """The images (n,C,H,W) that a source gives when it is asked for n."""
    if not callable(source):
        raise ValueError(
            f"source must be a function of n that returns n images, not a {type(source).__name__}: "
            "such as lambda n: x[torch.randint(len(x), (n,))]."
        )
    x = source(n)
    if not isinstance(x, Tensor) or x.ndim != 4 or len(x) != n or not x.is_floating_point():
        got = f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"source({n}) must return {n} images (n,C,H,W) in the teacher's range; it "
            f"returned {got}."
        )
    return x


def _check_first(teacher: nn.Module, student: nn.Module, x: Tensor) -> None:
    """Raise a ValueError if the first images x (B,C,H,W) fit one of the networks or neither."""
    shape, span = signature(teacher, x.shape[1:])
    if hasattr(teacher, "input_range"):
        check_images(x, shape, span)
    wanted, given = (probe_logits(net, shape, span).shape[1] for net in (teacher, student))
    if wanted != given:
        raise ValueError(
            f"The student answers with {given} logits, the teacher with {wanted}: give a student "
            "of as many."
        )


def _divergence(teacher: nn.Module, student: nn.Module, x: Tensor, T: float) -> Tensor:
    """KL(softmax(t(x)/T) ‖ softmax(s(x)/T)), the mean of the images x (B,C,H,W); ()."""
    with torch.no_grad():
        wanted = (answer(teacher, x) / T).softmax(1)
    answers = answer(student, x)
    return F.kl_div((answers / T).log_softmax(1), wanted, reduction="batchmean")

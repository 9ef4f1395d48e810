"""What surrounds every step of a training: a bar, a history, a callback, and a way to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .checkpoint import Checkpoint

EVERY = 50  # steps between two states that are kept
OnStep = Callable[[int, dict[str, float], object], None]  # (step, its row of the history, result)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a training; `inversion` is the result so far.

    Args:
        inversion: what was being made: an `Inversion`, a list of several, a network, a
            reconstruction.
        message: at which step it stopped, and what resumes it.

    Example:
        >>> import netinv_lite as nil
        >>> def stop(step, row, inversion):
        ...     if step == 3:
        ...         raise KeyboardInterrupt
        >>> try:
        ...     nil.invert(nil.load_classifier("digits"), progress=False, on_step=stop)
        ... except nil.Interrupted as stopped:
        ...     print(stopped.inversion)
        Inversion(CNN, K=10, vector-matrix, 3 of 400 steps, seed 0, ...)
    """

    def __init__(self, inversion: Any, message: str) -> None:
        super().__init__(message)
        self.inversion = inversion


def train(
    advance: Callable[[int], dict[str, Tensor]],
    result: Any,
    *,
    steps: int,
    name: str,
    checkpoint: Checkpoint,
    progress: bool = True,
    on_step: OnStep | None = None,
) -> None:
    """Call `advance` for each remaining step, and keep what it returns in `result.history`.

    Args:
        advance: does step number t, counted from 0; returns the row of that step, scalar tensors.
        result: what is trained; has `history`, a dict of lists, `seed` and `config.lr`.
        steps: how many in all, with those that the checkpoint holds.
        name: shown before the bar.
        checkpoint: where the run continues, and where its state is kept.
        progress: whether a bar is shown.
        on_step: called as on_step(step, row, result) after every step, counted from 1.

    Raises:
        FloatingPointError: a number of a row is not finite.
        Interrupted: Ctrl-C; the result so far is in `.inversion`.
    """
    restored = checkpoint.restore()
    step = 0
    if restored is not None:
        step, result.history = restored[1]["step"], restored[1]["history"]
    # Twice a second: a notebook gets several messages an update, and may drop what is too much.
    bar = tqdm(
        total=steps, initial=step, disable=not progress, desc=name, unit="step", mininterval=0.5
    )
    try:
        with bar:
            while step < steps:
                row = keep(result, step, advance(step))
                step += 1
                if on_step is not None:
                    on_step(step, row, result)
                bar.update()
                if "accuracy" in row:
                    bar.set_postfix(accuracy=f"{row['accuracy']:.2f}", refresh=False)
                if step % EVERY == 0 or step == steps:
                    checkpoint.save(step=step, history=result.history)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            result,
            f"Stopped at step {step} of {steps}{checkpoint.kept}; the generator so far is in "
            "`.inversion`.",
        ) from stop


def train_epochs(run: Any, result: Any, what: str, *, steps: int, progress: bool = True) -> None:
    """Call `run.advance(bar)` for each remaining epoch, and keep the state after each.

    Args:
        run: has `epoch`, `history`, `config.epochs`, `checkpoint` and `advance`.
        result: what is trained.
        what: the word for it.
        steps: batches of an epoch, for the bar.
        progress: whether a bar is shown.

    Raises:
        Interrupted: Ctrl-C; the result so far is in `.inversion`.
    """
    epochs = run.config.epochs
    total, begun = steps * epochs, steps * run.epoch
    bar = tqdm(total=total, initial=begun, disable=not progress, unit="batch", mininterval=0.5)
    try:
        with bar:
            while run.epoch < epochs:
                run.advance(bar)
                run.epoch += 1
                run.checkpoint.save(epoch=run.epoch, history=run.history)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            result,
            f"Stopped after {run.epoch} of {epochs} epochs{run.checkpoint.kept}; the {what} keeps "
            "what it has learned.",
        ) from stop


def keep(result: Any, step: int, row: dict[str, Tensor]) -> dict[str, float]:
    """The row as numbers, fetched from the device together, checked, and added to the history."""
    numbers = torch.stack([value.detach() for value in row.values()]).tolist()
    return kept(result, step, dict(zip(row, numbers, strict=True)))


def kept(result: Any, step: int, row: dict[str, float]) -> dict[str, float]:
    """The row, checked and added to the history.

    Raises:
        FloatingPointError: a number is not finite.
    """
    if not all(abs(value) < float("inf") for value in row.values()):
        raise FloatingPointError(
            f"The loss of seed {result.seed} is not finite at step {step}: {row}. Lower "
            f"lr={result.config.lr}, or check the classifier's weights."
        )
    for name, value in row.items():
        result.history.setdefault(name, []).append(value)
    return row

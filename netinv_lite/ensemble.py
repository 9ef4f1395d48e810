"""Several inversions of one classifier: one after the other, or all in one batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from tqdm.auto import tqdm

from ._core.boundary import Target
from ._core.freezing import frozen
from ._core.hooks import Tap
from ._core.loop import Interrupted, kept
from ._core.random_state import learning, seeded, with_gradients
from .conditioning import Condition
from .inversion import (
    Inversion,
    adam,
    as_read,
    invert,
    rate,
    scored,
    untrained,
    warn_if_collapsed,
)
from .models.steps import set_rate

__all__ = ["invert_many", "invert_together"]
# What runs in one batch must share.
ONE = ("image_shape", "input_range", "num_classes", "device", "features", "progress", "config")
ALONE = ("checkpoint", "on_step")  # what a run has only by itself
State = dict[str, Tensor]


def invert_many(
    classifier: nn.Module,
    seeds: Sequence[int],
    *,
    checkpoint: str | Path | None = None,
    together: bool = False,
    **settings: Any,
) -> list[Inversion]:
    """One inversion per seed: the columns of the papers' figure.

    Args:
        classifier: any nn.Module from images to logits, as in `invert`.
        seeds: one for each inversion.
        checkpoint: a file per seed: x.safetensors stands for x-0.safetensors, x-1.safetensors, …
        together: train all in one batch, see `invert_together`: for a GPU, which one small
            generator leaves idle. Then without `checkpoint` and `on_step`.
        **settings: the other arguments of `invert`.

    Returns:
        The inversions, in the order of the seeds.

    Raises:
        ValueError: a checkpoint together with `together`; otherwise as in `invert`.

    Example:
        >>> import netinv_lite as nil
        >>> classifier = nil.load_classifier("digits")
        >>> quick = nil.InversionConfig(steps=20, batch_size=16)
        >>> nil.invert_many(classifier, seeds=[0, 1], config=quick, progress=False)
        [Inversion(CNN, ..., seed 0, ...), Inversion(CNN, ..., seed 1, ...)]
    """
    if together:
        if checkpoint:
            raise ValueError("Generators trained together keep no checkpoint: leave it out.")
        return invert_together(classifier, [{"seed": seed, **settings} for seed in seeds])
    inversions = []
    for seed in seeds:
        file = Path(checkpoint) if checkpoint else None
        file = file and file.with_name(f"{file.stem}-{seed}{file.suffix}")
        inversions.append(invert(classifier, seed=seed, checkpoint=file, **settings))
    return inversions


@with_gradients
def invert_together(classifier: nn.Module, runs: Sequence[Mapping[str, Any]]) -> list[Inversion]:
    """Several inversions of one classifier, trained in one batch.

    The result is that of one after the other, within rounding, except for dropout, whose masks are
    drawn for all at once. It pays on a GPU, where the time of a generator of this size is that of
    launching kernels; on a CPU it is no faster.

    Args:
        classifier: any nn.Module from images to logits, as in `invert`.
        runs: for each inversion its arguments of `invert`. They may differ in seed, loss and
            preset; generator and steps are the same.

    Returns:
        The inversions, in the order of `runs`.

    Raises:
        ValueError: runs that differ in anything else, or that ask for a checkpoint, `on_step` or
            the term `batch_norm`; otherwise as in `invert`.

    Example:
        >>> import netinv_lite as nil
        >>> from netinv_lite.ensemble import invert_together
        >>> quick = {"config": nil.InversionConfig(steps=10, batch_size=16), "progress": False}
        >>> runs = [{**quick, "seed": seed} for seed in (0, 1)]
        >>> first, second = invert_together(nil.load_classifier("digits"), runs)
        >>> len(first.history["total"]), second.seed
        (10, 1)
    """
    runs = [dict(run) for run in runs]
    _check_alike(runs)
    shared, device = runs[0], runs[0].get("device", "auto")
    inversions, states = [], []
    for run in runs:
        with seeded(run.get("seed", 0), device):
            inversions.append(_untrained(classifier, run, device))
            states.append(torch.get_rng_state())
    _check_one_kind(inversions)
    batch, first = Batch(inversions, states), inversions[0]
    model, span = first.classifier, first.input_range
    tap = Tap(model, first.image_shape, shared.get("features"), input_range=span)
    with tap, frozen(model), learning(shared.get("seed", 0), device):
        batch.train(tap, shared.get("progress", True))
    for inversion in inversions:
        inversion.generator.eval()
        warn_if_collapsed(inversion)
    return inversions


def _check_alike(runs: Sequence[Mapping[str, Any]]) -> None:
    if not runs:
        raise ValueError("No run to train: give at least one.")
    for name in (*ONE, *ALONE):
        if any(run.get(name) != runs[0].get(name) for run in runs):
            raise ValueError(f"Runs that are trained together have one {name}.")
    if any(runs[0].get(name) for name in ALONE):
        raise ValueError("Runs that are trained together take no checkpoint and no on_step.")


def _check_one_kind(inversions: list[Inversion]) -> None:
    if any(inversion.loss.needs_statistics for inversion in inversions):
        raise ValueError(
            "The weight batch_norm takes the statistics of a batch, which runs that are trained "
            "together share; train them one by one."
        )
    kinds = [(i.config, i.conditioning.name, i.num_classes) for i in inversions]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError("Runs that are trained together have one kind of generator.")


def _untrained(
    classifier: nn.Module, run: Mapping[str, Any], device: str | torch.device
) -> Inversion:
    about = {name: run.get(name) for name in ("image_shape", "input_range", "num_classes")}
    target = Target.of(classifier, **about, device=device)
    given = {name: run.get(name) for name in ("loss", "preset", "config")}
    conditioning = run.get("conditioning", "vector-matrix")
    return untrained(target, conditioning, **given, seed=run.get("seed", 0))


class Batch:
    """S untrained inversions side by side: weights (S, …), one Adam, S random states.

    Args:
        inversions: generators of one kind, on one device.
        states: the random state from which each draws.
    """

    def __init__(self, inversions: list[Inversion], states: list[Tensor]) -> None:
        self.inversions, self.states = inversions, states
        generators = [inversion.generator.train() for inversion in inversions]
        self.parameters, self.buffers = stack_module_state(generators)
        self.base = copy.deepcopy(generators[0])
        self.base.memory_format = torch.contiguous_format  # vmap knows no other
        self.config = inversions[0].config
        self.optimiser = adam(self.parameters.values(), self.config)

    def train(self, tap: Tap, progress: bool) -> None:
        """All steps; the weights then go back to the generators.

        Args:
            tap: the classifier.
            progress: whether a bar is shown.

        Raises:
            FloatingPointError: a loss is no longer finite.
            Interrupted: Ctrl-C; the inversions so far are in `.inversion`.
        """
        steps = self.config.steps
        bar = tqdm(
            range(steps),
            disable=not progress,
            unit="step",
            mininterval=0.5,
            desc=f"invert ×{len(self.inversions)}",
        )
        try:
            for step in bar:
                accuracy = self._advance(tap, step)
                bar.set_postfix(accuracy=f"{accuracy:.2f}", refresh=False)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                self.inversions,
                f"Stopped at step {step} of {steps}; the generators so far are in `.inversion`.",
            ) from stop
        finally:
            self._hand_back()

    def _advance(self, tap: Tap, step: int) -> float:
        set_rate(self.optimiser, rate(self.config, step))
        conditions, z = self._draw()
        v = torch.stack([c.v for c in conditions])  # (S, B, K)
        y = torch.stack([c.y for c in conditions])  # (S, B, K)
        generate = vmap(self._generate, randomness="different")
        x = generate(self.parameters, self.buffers, z, v, y)  # (S, B, C, H, W)
        logits, f = tap(as_read(x.flatten(0, 1), self.inversions[0]))  # (S·B, K), (S·B, D)
        S = len(x)
        parts = zip(self.inversions, conditions, x, logits.chunk(S), f.chunk(S), strict=True)
        rows = [scored(*part, ()) for part in parts]
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack([row["total"] for row in rows]).sum().backward()  # each to its own weights
        numbers = torch.stack([v.detach() for row in rows for v in row.values()]).tolist()
        for inversion, row in zip(self.inversions, rows, strict=True):
            values, numbers = numbers[: len(row)], numbers[len(row) :]
            kept(inversion, step, dict(zip(row, values, strict=True)))
        self.optimiser.step()
        return sum(one.history["accuracy"][-1] for one in self.inversions) / S

    def _draw(self) -> tuple[list[Condition], Tensor]:
        """What each run would draw by itself: conditions, and latents z (S,B,Z)."""
        conditions, z, device = [], [], self.inversions[0].device
        before = torch.get_rng_state()
        for i, inversion in enumerate(self.inversions):
            torch.set_rng_state(self.states[i])
            conditions.append(inversion.conditioning.draw(self.config.batch_size).to(device))
            z.append(torch.randn(self.config.batch_size, self.config.latent_dim))
            self.states[i] = torch.get_rng_state()
        torch.set_rng_state(before)
        return conditions, torch.stack(z).to(device)

    def _generate(
        self, parameters: State, buffers: State, z: Tensor, v: Tensor, y: Tensor
    ) -> Tensor:
        return functional_call(self.base, (parameters, buffers), (z, Condition(v, y)))

    def _hand_back(self) -> None:
        """Copy the present weights to the generators that they came from."""
        stacked = {**self.parameters, **self.buffers}
        for i, inversion in enumerate(self.inversions):
            state = {name: t[i].detach() for name, t in stacked.items()}
            inversion.generator.load_state_dict(state)

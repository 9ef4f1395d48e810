"""Several inversions of one classifier: one after the other, or all in one batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

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
from .inversion import Inversion, adam, invert, scored, set_rate, untrained, warn_if_collapsed

ONE = ("image_shape", "input_range", "num_classes", "device", "features", "progress", "config")


def invert_many(
    classifier: nn.Module,
    seeds: Sequence[int],
    *,
    checkpoint: str | Path | None = None,
    together: bool = False,
    **settings,
) -> list[Inversion]:
    """One inversion per seed, with the settings of `invert`: the columns of the papers' figure.

    `checkpoint` names a file per seed: x.safetensors stands for x-0.safetensors, x-1.safetensors, …
    together: train them all in one batch, see `invert_together`: for a GPU, which one
        small generator leaves idle. It takes no checkpoint and no `on_step`.
    """
    if together:
        if checkpoint:
            raise ValueError("Generators trained together keep no checkpoint: leave it out.")
        return invert_together(classifier, [{"seed": seed, **settings} for seed in seeds])
    files = [
        checkpoint and (p := Path(checkpoint)).with_name(f"{p.stem}-{seed}{p.suffix}")
        for seed in seeds
    ]
    return [
        invert(classifier, seed=seed, checkpoint=file, **settings)
        for seed, file in zip(seeds, files, strict=True)
    ]


@with_gradients
def invert_together(classifier: nn.Module, runs: Sequence[dict]) -> list[Inversion]:
    """One inversion for each of `runs`, the keyword arguments of `invert`, trained in one batch.

    The runs may differ in seed and loss; generators and steps are alike.
    The result is that of one after the other, within rounding, but for dropout, whose masks are
    drawn for all at once. It pays on a GPU, where a generator of this size is a matter of
    launching kernels; on a CPU it is no faster.

    Raises ValueError for runs that are not alike, and otherwise as `invert` does.
    """
    runs = [dict(run) for run in runs]
    if not runs:
        raise ValueError("No run to train: give at least one.")
    for name in (*ONE, "checkpoint", "on_step"):
        if any(run.get(name) != runs[0].get(name) for run in runs):
            raise ValueError(f"Runs that are trained together have one {name}.")
    if runs[0].get("checkpoint") or runs[0].get("on_step"):
        raise ValueError("Runs that are trained together take no checkpoint and no on_step.")
    device = runs[0].get("device", "auto")
    inversions, states = [], []
    for run in runs:
        with seeded(run.get("seed", 0), device):
            inversions.append(_untrained(classifier, run, device))
            states.append(torch.get_rng_state())
    first = inversions[0]
    if any(inversion.loss.needs_statistics for inversion in inversions):
        raise ValueError(
            "The weight batch_norm takes the statistics of a batch, which runs that "
            "are trained together share; train them one by one."
        )
    if any(_build(other) != _build(first) for other in inversions):
        raise ValueError("Runs that are trained together have one kind of generator.")
    batch = Batch(inversions, states)
    with (
        Tap(
            first.classifier,
            first.image_shape,
            runs[0].get("features"),
            input_range=first.input_range,
        ) as tap,
        frozen(first.classifier),
        learning(runs[0].get("seed", 0), device),
    ):
        batch.train(tap, runs[0].get("progress", True))
    for inversion in inversions:
        inversion.generator.eval()
        warn_if_collapsed(inversion)
    return inversions


def _untrained(classifier: nn.Module, run: dict, device) -> Inversion:
    about = {name: run.get(name) for name in ("image_shape", "input_range", "num_classes")}
    target = Target.of(classifier, **about, device=device)
    given = {name: run.get(name) for name in ("loss", "preset", "config")}
    conditioning = run.get("conditioning", "vector-matrix")
    return untrained(target, conditioning, **given, seed=run.get("seed", 0))


def _build(inversion: Inversion) -> tuple:
    """What two generators must share to be one batch."""
    return inversion.config, inversion.conditioning.name, inversion.num_classes


class Batch:
    """The generators' weights side by side, (S, …) each, one Adam, and S random states."""

    def __init__(self, inversions: list[Inversion], states: list[Tensor]):
        self.inversions, self.states = inversions, states
        generators = [inversion.generator.train() for inversion in inversions]
        self.parameters, self.buffers = stack_module_state(generators)
        self.base = copy.deepcopy(generators[0])
        self.base.memory_format = torch.contiguous_format  # vmap knows no other
        self.config = inversions[0].config
        self.optimiser = adam(self.parameters.values(), self.config)

    def train(self, tap: Tap, progress: bool) -> None:
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
        set_rate(self.optimiser, self.config, step)
        conditions, z = self._draw()
        x = vmap(self._generate, randomness="different")(
            self.parameters,
            self.buffers,
            z,
            torch.stack([c.v for c in conditions]),
            torch.stack([c.y for c in conditions]),
        )
        logits, f = tap(x.flatten(0, 1))
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
        """What each run would draw by itself: conditions, and z (S,B,Z)."""
        conditions, z, device = [], [], self.inversions[0].device
        before = torch.get_rng_state()
        for i, inversion in enumerate(self.inversions):
            torch.set_rng_state(self.states[i])
            c = inversion.conditioning.draw(self.config.batch_size)
            conditions.append(Condition(c.v.to(device), c.y.to(device)))
            z.append(torch.randn(self.config.batch_size, self.config.latent_dim))
            self.states[i] = torch.get_rng_state()
        torch.set_rng_state(before)
        return conditions, torch.stack(z).to(device)

    def _generate(self, parameters, buffers, z: Tensor, v: Tensor, y: Tensor) -> Tensor:
        return functional_call(self.base, (parameters, buffers), (z, Condition(v, y)))

    def _hand_back(self) -> None:
        """The weights as they are now, to the generators they came from."""
        for i, inversion in enumerate(self.inversions):
            state = {name: t[i].detach() for name, t in {**self.parameters, **self.buffers}.items()}
            inversion.generator.load_state_dict(state)

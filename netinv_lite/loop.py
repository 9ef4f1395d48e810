"""The training loop of an inversion and its state: step, generator, Adam, random numbers."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .conditioning import Condition
from .losses import Batch
from .probe import Tap, random_state, set_random_state
from .weights import fingerprint, read_tensors, split, write_tensors


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `inversion` is what was made so far: one, several, or a `Reconstruction`."""

    def __init__(self, inversion, message: str):
        super().__init__(message)
        self.inversion = inversion


class Loop:
    """One run of `invert`, resumable at every multiple of 50 steps."""

    def __init__(self, inversion, checkpoint: str | Path | None):
        self.inversion, self.step = inversion, 0
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.optimiser = adam(inversion.generator.parameters(), inversion.config)
        # Of the classifier before the first step: a network may count its passes.
        self.classifier = checkpoint and fingerprint(inversion.classifier.state_dict())

    def train(self, tap: Tap, progress: bool, on_step) -> None:
        inversion = self.inversion
        steps = inversion.config.steps
        if self.checkpoint and self.checkpoint.exists():
            self._restore()
        # Twice a second: a notebook gets several messages an update, and may drop what is too much.
        bar = tqdm(total=steps, initial=self.step, disable=not progress, desc="invert",
                   unit="step", mininterval=0.5)  # fmt: skip
        try:
            with bar:
                while self.step < steps:
                    row = self._advance(tap)
                    if on_step is not None:
                        on_step(self.step, row, inversion)
                    bar.update()
                    bar.set_postfix(accuracy=f"{row['accuracy']:.2f}", refresh=False)
                    if self.checkpoint and (self.step % 50 == 0 or self.step == steps):
                        self._save()
        except KeyboardInterrupt as stop:
            kept = self.checkpoint and self.checkpoint.exists()
            kept = f"; {self.checkpoint} resumes it" if kept else ""
            raise Interrupted(inversion, f"Stopped at step {self.step} of {steps}{kept}; the "
                              "generator so far is in `.inversion`.") from stop  # fmt: skip

    def _advance(self, tap: Tap) -> dict[str, float]:
        inversion = self.inversion
        config, generator = inversion.config, inversion.generator
        generator.train()
        set_rate(self.optimiser, config, self.step)
        condition = inversion.conditioning.draw(config.batch_size)
        condition = Condition(condition.v.to(inversion.device), condition.y.to(inversion.device))
        z = torch.randn(config.batch_size, config.latent_dim).to(inversion.device)
        x = generator(z, condition)
        logits, f = tap(x)
        if not logits.requires_grad:
            raise ValueError(
                "The classifier's logits carry no gradient to the image. Leave no_grad, detach, "
                "argmax and NumPy out of its forward pass."
            )
        terms = scored(inversion, condition, x, logits, f, tap.distances)
        self.optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        row = keep(inversion, self.step, terms, detached([terms])[0])
        self.optimiser.step()
        self.step += 1
        return row

    def _save(self) -> None:
        tensors, about = self.inversion.packed()
        for i, p in enumerate(self.inversion.generator.parameters()):
            for key, value in self.optimiser.state[p].items():
                tensors[f"adam.{i}.{key}"] = value
        tensors |= random_state(self.inversion.device)
        write_tensors(self.checkpoint, tensors, inversion=about, step=self.step,
                      classifier=self.classifier)  # fmt: skip

    def _restore(self) -> None:
        tensors, meta = read_tensors(self.checkpoint)
        (own, mine), theirs = self.inversion.packed(), meta.get("inversion", {})
        differ = [key for key in mine if key != "history" and mine[key] != theirs.get(key)]
        if meta.get("classifier") != self.classifier:
            differ.append("classifier")
        targets = own.get("targets", torch.empty(0))
        if not torch.equal(targets, tensors.get("targets", torch.empty(0))):
            differ.append("targets")
        if differ or "step" not in meta:
            raise ValueError(f"{self.checkpoint} belongs to another run (other "
                             f"{', '.join(differ) or 'kind of file'}); remove it or name another "
                             "checkpoint.")  # fmt: skip
        self.inversion.generator.load_state_dict(split(tensors, "generator"))
        for i, p in enumerate(self.inversion.generator.parameters()):
            state = split(tensors, f"adam.{i}")
            self.optimiser.state[p] = {key: _placed(t, p) for key, t in state.items()}
        set_random_state(tensors, self.inversion.device)
        self.inversion.history, self.step = theirs["history"], meta["step"]


def adam(parameters, config) -> torch.optim.Adam:
    """The optimiser of a generator, or of several side by side."""
    return torch.optim.Adam(parameters, config.lr, betas=(0.5, 0.99), fused=True)


def set_rate(optimiser: torch.optim.Adam, config, step: int) -> None:
    """Full learning rate for the first half, then a cosine to a twentieth."""
    t = step / config.steps
    factor = 1.0 if t < 0.5 else 0.05 + 0.475 * (1 + math.cos(2 * math.pi * (t - 0.5)))
    for group in optimiser.param_groups:
        group["lr"] = config.lr * factor


def scored(
    inversion, condition: Condition, x: Tensor, logits: Tensor, f: Tensor, distances
) -> dict:
    """The terms of the loss, unweighted, their weighted `total`, and the `accuracy`; tensors ()."""
    terms = inversion.loss.terms(Batch(x, logits, f, condition, inversion.input_range, distances,
                                       inversion.classifier))  # fmt: skip
    total = inversion.loss.total(terms)
    return {**terms, "total": total, "accuracy": condition.met_by(logits).float().mean()}


def detached(rows: list[dict[str, Tensor]]) -> list[list[float]]:
    """The numbers of all rows, fetched from the device at once."""
    values = torch.stack([t.detach() for row in rows for t in row.values()])
    return [part.tolist() for part in values.cpu().split([len(row) for row in rows])]


def keep(inversion, step: int, terms: dict, values: list[float]) -> dict[str, float]:
    """The row as numbers, once they are finite and in the history."""
    row = dict(zip(terms, values, strict=True))
    if not all(abs(value) < float("inf") for value in values):
        raise FloatingPointError(
            f"The loss of seed {inversion.seed} is not finite at step {step}: {row}. Lower "
            f"lr={inversion.config.lr}, or check the classifier's weights."
        )
    for name, value in row.items():
        inversion.history.setdefault(name, []).append(value)
    return row


def _placed(t: Tensor, p: Tensor) -> Tensor:
    """t on the device of p, and in p's memory order, which the fused Adam takes for granted."""
    return torch.empty_like(p).copy_(t) if t.shape == p.shape else t.to(p.device)

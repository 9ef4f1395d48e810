"""The training of the inverses: a stage for each block, from the image on, and one for all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._core.boundary import answer
from .._core.checkpoint import Checkpoint
from .._core.device import device_of
from .._core.loop import EVERY
from .._core.random_state import seeded
from .._core.serialization import fingerprint
from .._core.validation import check_images
from ..models.training import one_cycle
from .best_state import Best
from .config import DirectConfig
from .inverse import LayerwiseInverse
from .losses import losses
from .synthetic import Source

HELD = 4  # batches of images that a stage is measured on, and does not train on
LOOKS = 10  # how often it is measured


@dataclass(frozen=True)
class Stage:
    """A part of the training: which inverses learn, from the representation of which depth.

    Attributes:
        name: "block 1" …, or "joint".
        depth: k, of the representation that it begins with.
        steps: how many.
        together: whether all inverses up to that depth learn, and not the last alone.
    """

    name: str
    depth: int
    steps: int
    together: bool = False

    @property
    def every(self) -> int:
        """The steps between two looks at images that it does not train on."""
        return max(self.steps // LOOKS, 1)

    @property
    def looks(self) -> int:
        """How many there are: at its beginning, in between, and at its end."""
        return 1 + math.ceil(self.steps / self.every)


def stages_of(config: DirectConfig, K: int, known: int = 0) -> list[Stage]:
    """The stages of K blocks, of which the first `known` are known already."""
    one_by_one = [Stage(f"block {k}", k, config.steps) for k in range(known + 1, K + 1)]
    return one_by_one + [Stage("joint", K, config.joint, together=True)] * (config.joint > 0)


class Training:
    """All stages of an inverse, one after the other; what a checkpoint holds.

    Called inside `inverse.held()`, where gradients are recorded.

    Args:
        inverse: whose g_1 … g_K are trained, in place.
        draw: n -> images (n,C,H,W).
        checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.
        start: the inverse whose blocks are known already, and not learned again.
    """

    def __init__(
        self,
        inverse: LayerwiseInverse,
        draw: Source,
        checkpoint: str | Path | None = None,
        start: LayerwiseInverse | None = None,
    ) -> None:
        self.inverse, self.draw, self.config = inverse, draw, inverse.config
        self.device = device_of(inverse.model)
        self.answers = self.config.answer > 0 and inverse.classifies
        known = len(start.blocks) if start else 0
        self.stages = stages_of(self.config, len(inverse.blocks), known)
        self._check_losses()
        # One for all stages, for a checkpoint; what does not learn has no gradient and stays.
        self.adam = torch.optim.Adam([{"params": list(inverse.inverses.parameters())}])
        self.checkpoint = Checkpoint(
            checkpoint,
            _identity(inverse, start),
            {"inverses": inverse.inverses},
            {"adam": self.adam},
        )
        with seeded(inverse.seed + 2, self.device):
            self.held = [self.images() for _ in range(HELD * self.config.keep_best)]

    def _check_losses(self) -> None:
        """Raise where a stage has no loss of weight above zero."""
        for stage in self.stages:
            names = ("image", "cycle") if stage.together else ("block", "image", "cycle")
            if not (self.answers or any(getattr(self.config, name) for name in names)):
                raise ValueError(
                    f"The stage {stage.name!r} has no loss to learn by: give a weight "
                    f"to {', '.join(names)} above zero, or leave it out."
                )

    @property
    def stage(self) -> Stage:
        """The one that is under way."""
        return self.stages[self.number]

    def run(self, progress: bool = True) -> None:
        """Every stage that is left, to its end."""
        if not self._restore():
            self.begin(0)
        steps = [stage.steps for stage in self.stages]
        done = sum(steps[: self.number]) + self.step
        off = not progress
        with tqdm(total=sum(steps), initial=done, disable=off, unit="step", mininterval=0.5) as bar:
            while self.number < len(self.stages):
                bar.set_description(self.stage.name, refresh=False)
                self._to_its_end(bar.update)
                self.begin(self.number + 1)
        self._save()

    def begin(self, number: int) -> None:
        """Go to the first step of a stage; behind the last there is none."""
        self._enter(number, 0)
        self.adam.state.clear()
        if self.best:
            self.best.look(0)

    def _enter(self, number: int, step: int) -> None:
        """Choose what learns in a stage that goes on after some steps."""
        self.number, self.step, self.best = number, step, None
        if number == len(self.stages):
            return
        g = self.inverse.inverses
        self.learner = g if self.stage.together else g[self.stage.depth - 1]
        self.weights = list(self.learner.parameters())
        if self.held and self.weights:
            self.best = Best(self)

    def _to_its_end(self, advanced: Callable[[], object]) -> None:
        stage = self.stage
        while self.weights and self.step < stage.steps:
            self.advance()
            advanced()
            if self.best and (self.step % stage.every == 0 or self.step == stage.steps):
                self.best.look(self.step)
            if self.step % EVERY == 0:
                self._save()
        if self.best:
            self.best.take()
            self.inverse.held_out[stage.name] = self.best.seen
            if not self.best.step:
                self._warn()

    def advance(self) -> None:
        """One step: min over the g that learn, by Adam, of Σ weight · term, see `losses`.

        Together, the mean over all depths k.
        """
        # What does not learn keeps its statistics; together all do, for they see outputs of
        # several depths, whose mixed statistics would fit none.
        self.inverse.eval()
        if not self.stage.together:
            self.learner.train()
        self.adam.param_groups[0]["lr"] = self._rate()
        self.adam.zero_grad(set_to_none=True)
        x = self.images()
        depths, rows = self._depths(), []
        for terms in self.terms(x, depths):
            loss = self.total(terms) / len(depths)
            if not torch.isfinite(loss):
                return self._diverged()
            loss.backward(inputs=self.weights)
            rows.append({name: term.item() for name, term in terms.items()})
        self.adam.step()
        self.step += 1
        row = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        self.inverse.history.setdefault(self.stage.name, []).append(row)

    def _diverged(self) -> None:
        """Go on from the best state, at half the rate, as long as there is one to speak of."""
        if self.best is None or self.best.rate < 1e-3:
            raise FloatingPointError(
                f"The loss of {self.stage.name} is not finite at step {self.step}: lower the "
                f"learning rate, {self._rate():g}."
            )
        self.best.go_back()
        self.step += 1

    def _depths(self) -> Sequence[int]:
        """From where the next step begins."""
        K, config = self.stage.depth, self.config
        if not (self.stage.together and config.every_depth):
            return (K,)
        if not config.in_turn:
            return range(1, K + 1)
        return (int(torch.randint(1, K + 1, ())),) if self.step % 2 else (K,)

    def terms(self, x: Tensor, depths: Sequence[int]) -> Iterator[dict[str, Tensor]]:
        """The losses of images x (B,C,H,W), from their representations at each of the depths."""
        short = partial(torch.autocast, x.device.type, torch.bfloat16, self.config.bfloat16)
        with short(), torch.no_grad():
            a = self.inverse.through(x, max(depths))
            y = answer(self.inverse.model, x) if self.answers else None
        for k in depths:
            with short():
                terms = losses(self.inverse, x, a[:k], y, block=not self.stage.together)
            yield terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term."""
        return sum(getattr(self.config, name) * term for name, term in terms.items())

    def _rate(self) -> float:
        """The learning rate of the next step."""
        lr = self.config.joint_lr if self.stage.together else self.config.lr
        lowered = self.best.rate if self.best else 1.0
        return lr * lowered * one_cycle((self.step + 0.5) / self.stage.steps)

    def images(self) -> Tensor:
        """A batch to learn on, (B,C,H,W)."""
        x = self.draw(self.config.batch_size)
        check_images(x, self.inverse.image_shape, self.inverse.input_range)
        return x.float().to(self.device)

    def _warn(self) -> None:
        name = "joint_lr" if self.stage.together else "lr"
        warnings.warn(
            f"The stage {self.stage.name!r} brought nothing: none of its states was better on "
            "images that it does not train on, so that it ends as it began. More steps or a lower "
            f"{name} than {getattr(self.config, name):g} may help.",
            stacklevel=5,
        )

    # ---- a stopped run --------------------------------------------------------------------------

    def _save(self) -> None:
        tensors, best = self.best.packed() if self.best else ({}, None)
        result = {"history": self.inverse.history, "held_out": self.inverse.held_out}
        self.checkpoint.save(tensors, stage=self.number, step=self.step, best=best, **result)

    def _restore(self) -> bool:
        """Go on from the checkpoint; whether there is one."""
        restored = self.checkpoint.restore()
        if restored is None:
            return False
        tensors, about = restored
        self.inverse.history, self.inverse.held_out = about["history"], about["held_out"]
        self._enter(about["stage"], about["step"])
        if self.best:
            self.best.unpack(tensors, about["best"])
        return True


def _identity(inverse: LayerwiseInverse, start: LayerwiseInverse | None) -> dict[str, object]:
    """All that decides what a training comes to, but for the images."""
    _, about = inverse.packed()
    settings = {key: about[key] for key in about if key not in ("history", "held_out")}
    return {**settings, "start": start and fingerprint(start.inverses.state_dict())}

"""The best state that a stage of a training came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._core.serialization import split as part
from ..models.training import one_cycle

if TYPE_CHECKING:
    from .stages import Training

WORSE = 0.5  # of the loss at the beginning: what a high rate shakes, a low one settles
SETTLED = 30  # steps after which batch normalisation's statistics are those of what it sees


class Best:
    """The best state of what a stage trains, by its loss on images that it does not train on.

    A state counts only if at no depth the loss is above that at the beginning. Meanwhile it may be,
    by half where the learning rate is at its peak, and by less the lower that is; where it is worse
    still, what learns goes back to the best state, and its rate is halved.

    Attributes:
        rate: by what the learning rate is multiplied.
        step: of the best state.
        seen: a dict of the losses at each look: "step", and a number a depth.
    """

    def __init__(self, training: Training) -> None:
        self.training, self.learner = training, training.learner
        stage = training.stage
        every = stage.together and training.config.every_depth  # else only the last one is trained
        self.depths = range(1 if every else stage.depth, stage.depth + 1)
        self.settled = 0 if stage.together else SETTLED
        self.rate, self.step, self.score, self.seen = 1.0, 0, 1.0, []
        self.state = self._copy()

    def look(self, step: int) -> None:
        """Measure the state after `step`; keep it if it is the best, go back if it is too bad."""
        now = self._measured()
        self.seen.append({"step": step, "losses": now})
        began = self.seen[0]["losses"]
        ratios = [loss / max(before, 1e-9) for loss, before in zip(now, began, strict=True)]
        score = sum(ratios) / len(ratios)
        if all(ratio <= 1 for ratio in ratios) and score < self.score:
            self.score, self.step, self.state = score, step, self._copy()
        most = 1 + WORSE * one_cycle(step / self.training.stage.steps)
        if step >= self.settled and not all(ratio <= most for ratio in ratios):
            self.go_back()

    def go_back(self) -> None:
        """To the best state, and on at half the rate."""
        self.take()
        self.training.adam.state.clear()  # moments of another state are of no use
        self.rate /= 2

    def take(self) -> None:
        """Go back to the best state."""
        self.learner.load_state_dict(self.state)

    @torch.no_grad()
    def _measured(self) -> list[float]:
        """The loss at each depth, a mean over the images that are held out."""
        training = self.training
        training.inverse.eval()
        found = [
            [training.total(terms).item() for terms in training.terms(x, self.depths)]
            for x in training.held
        ]
        return [sum(losses) / len(losses) for losses in zip(*found, strict=True)]

    def _copy(self) -> dict[str, Tensor]:
        return {key: t.detach().clone() for key, t in self.learner.state_dict().items()}

    def packed(self) -> tuple[dict[str, Tensor], dict]:
        """Tensors, and what JSON can hold."""
        about = {key: getattr(self, key) for key in ("rate", "step", "score", "seen")}
        return {f"best.{key}": t for key, t in self.state.items()}, about

    def unpack(self, tensors: dict[str, Tensor], about: dict) -> None:
        """Take up what `packed` gave."""
        vars(self).update(about, state=part(tensors, "best"))

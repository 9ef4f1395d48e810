"""Direct inversion: one forward pass from a representation back to the image, learned dataless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .inverses import inverse_of
from .layerwise import DirectConfig, LayerwiseInverse, into_range
from .probe import (
    check_images,
    device_of,
    frozen,
    on_device,
    random_state,
    seeded,
    set_random_state,
    signature,
)
from .search import distance
from .synthetic import Source, of, source
from .training import one_cycle
from .weights import fingerprint, read_tensors, write_tensors
from .weights import split as part

__all__ = ["DirectConfig", "LayerwiseInverse", "into_range", "inverse_of", "invert_layers"]


def invert_layers(
    model: nn.Module, cut: str | Sequence[nn.Module] | None = None, *, image_shape=None,
    input_range=None, data: Tensor | Source | None = None, config: DirectConfig | None = None,
    start: LayerwiseInverse | None = None, device: str | torch.device = "auto", seed: int = 0,
    progress: bool = True, checkpoint: str | Path | None = None,
) -> LayerwiseInverse:  # fmt: skip
    """Learn to go back from the representation after `cut` to the image, block by block.

    Block k, from the image on: min over g_k of b‖g_k(a_k) − a_{k−1}‖₁ + i‖x̂ − x‖₁
    + c Σ_{j≤k} ‖f_{1…j}(x̂) − a_j‖₁ (+ KL(f(x)‖f(x̂))) with x̂ = g_1∘…∘g_k(a_k), each norm a mean in
    units of what it is compared with; then all g together, without the first term.

    cut: the name of a module, or the blocks themselves in order, or None for the input of the last
        linear layer.
    data: None for synthesized images only (see `DirectConfig.source`), images (N,C,H,W), or a
        function n -> (n,C,H,W).
    start: an inverse of a shallower cut of the same model; its inverses are where these begin, and
        the stages of its blocks are left out. It is not changed.
    checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.

    The model comes back bit-identical, in its mode. Raises ValueError for a model, a cut, data
    or a start that do not fit, FloatingPointError for a loss that is not finite.
    Source: Dong et al. 2021, Deep Neural Networks are Surprisingly Reversible.
    """
    config = config or DirectConfig()
    shape, span = signature(model, image_shape, input_range)
    model = on_device(model, device)
    draw = source(config.source, shape, span) if data is None else data
    if isinstance(draw, Tensor):
        draw = of(check_images(draw, shape, span))
    with seeded(seed, device), frozen(model):
        inverse = LayerwiseInverse(model, cut, shape, span, config, seed).to(device_of(model))
        if start:
            _begin_from(start, inverse)
        _Run(inverse, draw, checkpoint, start).train(progress)
    return inverse.eval()


def _begin_from(start: LayerwiseInverse, inverse: LayerwiseInverse) -> None:
    """Copy what `start` knows of the first blocks into `inverse`.

    Names do not tell whether these are the same blocks (a cut before a rectifier names the block
    after its convolution, as one behind it does); what the two make of an image does.
    """
    k = len(start.blocks)
    alike = [(one.image_shape, one.input_range, one.config.width) for one in (inverse, start)]
    if alike[0] != alike[1]:
        raise ValueError(f"start is for images, a range and a width of {alike[1]}, where "
                         f"{alike[0]} are asked.")  # fmt: skip
    with seeded(0, "cpu"), frozen(start.model), torch.no_grad():
        x = source("noise", inverse.image_shape, inverse.input_range)(2)
        seen = [one.representations(x.to(device_of(one.model)), k)[-1].cpu()
                for one in (inverse, start)]  # fmt: skip
    if k >= len(inverse.blocks) or seen[0].shape != seen[1].shape or not torch.allclose(*seen):
        raise ValueError(f"start is an inverse of another model, or its {k} blocks, up to "
                         f"{start.blocks[-1].name!r}, are not the first of those asked, "
                         f"{', '.join(block.name for block in inverse.blocks)}.")  # fmt: skip
    inverse.inverses[:k].load_state_dict(start.inverses.state_dict())


class _Run:
    """The training of all stages: what a checkpoint holds."""

    def __init__(self, inverse: LayerwiseInverse, draw: Source, checkpoint, start=None):
        self.inverse, self.draw, self.config = inverse, draw, inverse.config
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.start = start and fingerprint(start.inverses.state_dict())
        K, config, known = len(inverse.blocks), inverse.config, len(start.blocks) if start else 0
        self.stages = [(f"block {k}", k, config.steps) for k in range(known + 1, K + 1)]
        self.stages += [("joint", K, config.joint)] * (config.joint > 0)
        self.stage = self.step = 0
        self._begin()

    def _begin(self) -> None:
        """The optimiser of the stage: of its own inverse, or of all."""
        name, k, _ = self.stages[self.stage]
        chosen = self.inverse.inverses if name == "joint" else self.inverse.inverses[k - 1]
        self.weights = list(chosen.parameters())
        self.adam = torch.optim.Adam(self.weights, self.config.lr) if self.weights else None

    def train(self, progress: bool) -> None:
        if self.checkpoint and self.checkpoint.exists():
            self._restore()
        total, done = sum(s for *_, s in self.stages), sum(s for *_, s in self.stages[: self.stage])
        bar = tqdm(total=total, initial=done + self.step, disable=not progress, unit="step",
                   mininterval=0.5)  # fmt: skip
        with bar:
            while self.stage < len(self.stages):
                name, k, steps = self.stages[self.stage]
                bar.set_description(name, refresh=False)
                while self.adam and self.step < steps:
                    self._advance(name, k, steps)
                    bar.update()
                    if self.checkpoint and self.step % 50 == 0:
                        self._save()
                self.stage, self.step = self.stage + 1, 0
                if self.stage < len(self.stages):
                    self._begin()
        if self.checkpoint:
            self._save()

    def _advance(self, name: str, k: int, steps: int) -> None:
        inverse, config = self.inverse, self.config
        # What is not trained now keeps its statistics; together all do, for they see outputs of
        # other depths, whose mixed statistics would fit none.
        inverse.eval()
        if name != "joint":
            inverse.inverses[k - 1].train()
        lr = config.joint_lr if name == "joint" else config.lr
        for group in self.adam.param_groups:
            group["lr"] = lr * one_cycle((self.step + 0.5) / steps)
        x = self.draw(config.batch_size)
        x = check_images(x, inverse.image_shape, inverse.input_range).to(device_of(inverse.model))
        # Every other step together is from a random depth: what comes before must hold, too.
        if name == "joint" and config.every_depth and self.step % 2:
            k = int(torch.randint(1, k + 1, ()))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=config.bfloat16):
            with torch.no_grad():
                a = inverse.representations(x, k)
            losses = _losses(inverse, x, a, config if name != "joint" else None)
        total = sum(getattr(config, term) * value for term, value in losses.items())
        if not torch.isfinite(total):
            raise FloatingPointError(f"The loss of {name} is not finite at step {self.step}: lower "
                                     f"the learning rate, {lr:g}.")  # fmt: skip
        self.adam.zero_grad(set_to_none=True)
        total.backward(inputs=self.weights)
        self.adam.step()
        self.step += 1
        row = {term: value.item() for term, value in losses.items()}
        inverse.history.setdefault(name, []).append(row)

    def _save(self) -> None:
        tensors, about = self.inverse.packed()
        if self.stage < len(self.stages) and self.adam:
            for i, p in enumerate(self.weights):
                for key, value in self.adam.state[p].items():
                    tensors[f"adam.{i}.{key}"] = value
        tensors |= random_state(device_of(self.inverse.model))
        write_tensors(self.checkpoint, tensors, direct=about, start=self.start, stage=self.stage,
                      step=self.step)  # fmt: skip

    def _restore(self) -> None:
        tensors, meta = read_tensors(self.checkpoint)
        (_, mine), theirs = self.inverse.packed(), meta.get("direct", {})
        differ = [key for key in mine if key != "history" and mine[key] != theirs.get(key)]
        differ += ["start"] * (meta.get("start") != self.start)
        if differ or "stage" not in meta:
            raise ValueError(f"{self.checkpoint} belongs to another run (other "
                             f"{', '.join(differ) or 'kind of file'}); remove it or name another "
                             "checkpoint.")  # fmt: skip
        self.inverse.inverses.load_state_dict(part(tensors, "inverses"))
        self.inverse.history, self.stage = theirs["history"], meta["stage"]
        self.step = meta["step"]
        if self.stage < len(self.stages):
            self._begin()
            for i, p in enumerate(self.weights):
                state = part(tensors, f"adam.{i}")
                self.adam.state[p] = {key: t.to(p.device) for key, t in state.items()}
        set_random_state(tensors, device_of(self.inverse.model))


def _losses(inverse: LayerwiseInverse, x: Tensor, a: list[Tensor], config) -> dict[str, Tensor]:
    """The terms of non-zero weight; `config` is None in the joint stage, which has no `block`."""
    k, weights, losses = len(a), config or inverse.config, {}
    blockwise = config is not None and config.block > 0
    # The first inverse arrives at the image, cut to its range: its block and its image are one.
    if weights.image or weights.cycle or weights.answer or (blockwise and k == 1):
        made = inverse(a[-1], k)
    if blockwise:
        back, before = (made, x) if k == 1 else (inverse.inverses[k - 1](a[-1]), a[k - 2])
        losses["block"] = distance(back, before)
    if weights.image:
        losses["image"] = distance(made, x)
    if weights.cycle:
        cycle, h = [], made
        for block, wanted in zip(inverse.blocks, a, strict=False):
            h = block(h)
            cycle.append(distance(h, wanted))
        losses["cycle"] = torch.stack(cycle).mean()
    if weights.answer:
        with torch.no_grad():
            wanted = inverse.model(x).float().log_softmax(1)
        answered = inverse.model(made).float().log_softmax(1)
        losses["answer"] = F.kl_div(answered, wanted, reduction="batchmean", log_target=True)
    return losses

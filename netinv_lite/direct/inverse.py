"""The inverses of a model's blocks as one network: from a representation to the image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .._core.boundary import entering
from .._core.device import device_of, on_device
from .._core.freezing import frozen
from .._core.random_state import seeded
from .._core.serialization import halved, read_tensors, write_tensors
from .._core.serialization import split as part
from .._core.validation import check_count, check_images, check_name, check_numbers
from .config import DirectConfig
from .decoders import into_range, inverses_of
from .likeness import classifies, compared, identity
from .partition import blocks_of, held, moved
from .refinement import corrected, descended
from .synthetic import source

if TYPE_CHECKING:
    import pandas as pd


class LayerwiseInverse(nn.Module):
    """g_1∘…∘g_K, one small network for each block of a model; `report`, `save`, `load`.

    A representation a_K (B, …) -> images (B,C,H,W) in the model's input range, in one pass.

    Args:
        model: f, from images to logits (B,K), or a generator.
        cut: the name of a module, blocks in order, or None, as in `invert_layers`.
        image_shape: (C,H,W).
        input_range: (low, high) of the pixels.
        config: the settings; `width` is that of the inverses.
        seed: kept for `report` and for the images held out.

    Attributes:
        model: f, the user's, on the device that was asked for; no part of what is saved.
        blocks: f_1 … f_K, each with its name and shape.
        inverses: g_1 … g_K, in 32 bits.
        history: of each stage, a dict of its losses a step.
        held_out: of each stage, what its losses were on images that it did not train on.

    Example:
        >>> import netinv_lite as nil
        >>> classifier, digits = nil.load_classifier("digits"), nil.load_data("digits")
        >>> few = nil.direct.DirectConfig(steps=10, joint=0, batch_size=8, width=4)
        >>> settings = {"config": few, "progress": False}
        >>> inverse = nil.direct.invert_layers(classifier, "convolutions.1", **settings)
        >>> inverse
        LayerwiseInverse(CNN, from 'convolutions.1' (64, 7, 7) through 2 blocks to (1, 28, 28), ...
        >>> first, second = inverse.representations(digits.x_test[:2])
        >>> inverse(first, depth=1).shape, inverse.corrected(second).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2, 1, 28, 28]))
        >>> list(inverse.report(n=8))
        ['depth', 'block', 'psnr', 'ssim', 'cycle', 'agreement']
    """

    def __init__(
        self,
        model: nn.Module,
        cut: str | Sequence[nn.Module] | None,
        image_shape: Sequence[int],
        input_range: Sequence[float],
        config: DirectConfig,
        seed: int,
    ) -> None:
        super().__init__()
        by_hand = not (cut is None or isinstance(cut, str))
        self.known = identity(model)  # before any forward pass, which may count something
        self.classifies = classifies(model, image_shape, input_range)
        blocks = blocks_of(model, cut, image_shape, input_range)
        # Not registered: the model is the user's, and no part of what is trained and saved.
        own = [block.module for block in blocks] if by_hand else []
        self.__dict__.update(model=model, blocks=blocks, own=own)
        # No block's name would do for a cut: one may end behind the layer that it is named after.
        self.cut = [b.name for b in blocks] if by_hand else cut
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.config, self.seed = config, seed
        inverses = inverses_of(blocks, self.image_shape, config.width)
        self.inverses = nn.ModuleList(inverses).to(device_of(model))
        self.history: dict[str, list[dict[str, float]]] = {}
        self.held_out: dict[str, list[dict]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one representation."""
        return self.blocks[-1].shape

    def forward(self, representation: Tensor, depth: int | None = None) -> Tensor:
        """x̂ = g_1∘…∘g_k(a_k), cut to the input range.

        Args:
            representation: a_k (B, …).
            depth: k, from 1 on; default: the last.

        Returns:
            Images (B,C,H,W); a gradient passes.

        Raises:
            ValueError: for another shape, numbers that are not finite, or a depth that is not.
        """
        a, k = representation, len(self.blocks) if depth is None else depth
        check_count("depth", k, 1, len(self.blocks))
        block = self.blocks[k - 1]
        if tuple(a.shape[1:]) != block.shape:
            raise ValueError(
                f"Representations of shape (B, {', '.join(map(str, block.shape))}) are expected "
                f"after {block.name!r}, not {tuple(a.shape)}."
            )
        check_numbers(a, "Representations")
        for j in range(k, 0, -1):
            a = self.back(a, j)
        low, high = self.input_range
        return into_range(low + (high - low) / 2 * (1 + a), low, high)

    def back(self, a: Tensor, k: int) -> Tensor:
        """g_k(a): from what block k returned to what it was given, in 32 bits."""
        return self.inverses[k - 1](a if torch.is_autocast_enabled(a.device.type) else a.float())

    def corrected(
        self, representation: Tensor, depth: int | None = None, *, steps: int = 8
    ) -> Tensor:
        """Residual correction: the images of a pass that is asked again for what was missing.

        b ← b + η (a − f(g(b))), from b = a on, and g(b) in the end: what the model makes of the
        image is compared with a, and the difference added to what is asked for.

        Args:
            representation: a (B, …) after block `depth`.
            depth: from 1 on; default: the last.
            steps: how often; each costs one more pass, and a forward pass of the first blocks.

        Returns:
            Images (B,C,H,W), without a gradient.

        Raises:
            ValueError: for what a pass refuses, and for steps < 1.

        Source: van Cittert 1931.
        """
        check_count("steps", steps, 1)
        return corrected(self, representation, depth, steps=steps)

    def refined(
        self, representation: Tensor, depth: int | None = None, *, steps: int = 25
    ) -> Tensor:
        """The images that `corrected` makes, then `steps` of a search from there.

        min over x in the input range of ‖f(x) − a‖₁ by Adam, in steps that fade from .01 to 0 (of
        pixels from −1 to 1).

        Args:
            representation: a (B, …) after block `depth`.
            depth: from 1 on; default: the last.
            steps: each costs one forward and one backward pass of the first blocks.

        Returns:
            Images (B,C,H,W), without a gradient.

        Raises:
            ValueError: as `corrected` does.

        Source: Mahendran & Vedaldi 2015, who begin with noise.
        """
        check_count("steps", steps, 1)
        images = self.corrected(representation, depth)
        return descended(self, representation, images, depth, steps=steps, lr=0.01, fading=True)

    def representations(self, images: Tensor, depth: int | None = None) -> list[Tensor]:
        """a_j = f_j(a_{j−1}) from a_0 = x on.

        Args:
            images: x (B,C,H,W).
            depth: of the last; default: K.

        Returns:
            [a_1, …] of shapes (B, …), in the model's own type; a gradient passes to x.
        """
        with self.held():
            return self.through(images, depth)

    def through(self, images: Tensor, depth: int | None = None) -> list[Tensor]:
        """`representations`, for who has frozen the model already."""
        found, a = [], entering(self.model, images)
        for block in self.blocks[:depth]:
            a = block(a)
            found.append(a)
        return found

    def held(self) -> AbstractContextManager[None]:
        """Inside, the model and its blocks are in eval mode, and learn nothing."""
        return held(self.model, self.own)

    def report(
        self, images: Tensor | None = None, *, n: int = 256, way: str = "pass"
    ) -> pd.DataFrame:
        """How well images come back from each depth.

        Args:
            images: (N,C,H,W), or None for `n` synthesized ones.
            n: how many.
            way: "pass", "corrected" or "refined".

        Returns:
            A DataFrame with a row a block: psnr in dB and ssim of x̂ and x (nan for images of less
            than 11 pixels a side), cycle ‖f(x̂) − a‖/‖a‖ at that depth, and agreement, the share of
            x̂ to which the model gives the class that it gives x (nan for a model that is no
            classifier).

        Raises:
            ValueError: for images that do not fit, or none.
        """
        import pandas as pd

        ways = {"pass": self, "corrected": self.corrected, "refined": self.refined}
        check_name(way, ways, "way")
        device = device_of(self.model)
        if images is None:
            with seeded(self.seed + 1, device):
                images = source(self.config.source, self.image_shape, self.input_range)(n)
        if not len(check_images(images, self.image_shape, self.input_range)):
            raise ValueError(
                "There are no images to report on; give at least one, or leave `images` out for "
                "synthesized ones."
            )
        sums = []
        with self.held(), frozen(self), torch.no_grad():
            for x in images.float().to(device).split(256):
                depths = enumerate(self.through(x), 1)
                rows = [compared(self, x, a, ways[way](a, k), k) for k, a in depths]
                sums.append(len(x) * pd.DataFrame(rows))
        names = [(k, block.name) for k, block in enumerate(self.blocks, 1)]
        return pd.DataFrame(names, columns=["depth", "block"]).join(sum(sums) / len(images))

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.parameters())
        done = sum(len(rows) for rows in self.history.values())
        return (
            f"LayerwiseInverse({type(self.model).__name__}, from {self.blocks[-1].name!r} "
            f"{self.shape} through {len(self.blocks)} blocks to {self.image_shape}, {done} steps, "
            f"{size:,} parameters)"
        )

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write the inverses and their settings as safetensors, atomically.

        Args:
            path: the file.
            half: numbers in 16 bits, for half the size and nearly equal images.

        Returns:
            The path, with a leading ~ expanded.
        """
        tensors, about = self.packed()
        tensors = {name: halved(t) if half else t for name, t in tensors.items()}
        return write_tensors(path, tensors, direct=about)

    def packed(self) -> tuple[dict[str, Tensor], dict]:
        """What `save` writes: tensors, and a description that JSON can hold."""
        tensors = {f"inverses.{k}": v for k, v in self.inverses.state_dict().items()}
        return tensors, {
            "image_shape": list(self.image_shape),
            "input_range": list(self.input_range),
            "cut": self.cut,
            "config": asdict(self.config),
            "seed": self.seed,
            "model": self.known,
            "history": self.history,
            "held_out": self.held_out,
        }

    def unpack(self, tensors: dict[str, Tensor], about: dict) -> None:
        """Take up what `packed` gave."""
        self.inverses.load_state_dict(part(tensors, "inverses"))
        self.history, self.held_out = about["history"], about.get("held_out", {})

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: nn.Module,
        *,
        blocks: Sequence[nn.Module] | None = None,
        device: str | torch.device = "auto",
    ) -> LayerwiseInverse:
        """The inverse saved at `path`, for the same model.

        Args:
            path: a file of `save`.
            model: the network that it inverts.
            blocks: the blocks, where they were given by hand.
            device: "auto", "cpu", "cuda" …

        Raises:
            ValueError: where the file is damaged or belongs to another model, or to blocks given by
                hand, which are not given again.
        """
        tensors, meta = read_tensors(path)
        about = meta.get("direct")
        if about is None or "cut" not in about:
            raise ValueError(
                f"{path} holds tensors, but no saved direct inverse. Give a file that "
                "LayerwiseInverse.save has written."
            )
        by_hand = isinstance(about["cut"], list)
        if by_hand != (blocks is not None):
            raise ValueError(
                f"{path} inverts blocks that were given by hand: give them again, as "
                "blocks=[module, module, …]."
                if by_hand
                else f"{path} inverts blocks that are found by themselves: leave blocks out."
            )
        here = on_device(model, device)
        if about["model"] != identity(here):
            raise ValueError(
                f"{path} inverts another model than this {type(model).__name__}. Give the one that "
                "it was trained for, with the same weights."
            )
        with torch.inference_mode(False):
            cut = moved(blocks, model, here) if by_hand else about["cut"]
            config = DirectConfig(**about["config"])
            images = about["image_shape"], about["input_range"]
            inverse = cls(here, cut, *images, config, about["seed"])
            if inverse.cut != about["cut"]:
                raise ValueError(
                    f"{path} inverts the blocks {', '.join(about['cut'])}, not "
                    f"{', '.join(inverse.cut)}. Give the modules of those names, in that order."
                )
            inverse.unpack(tensors, about)
            return inverse.eval()

"""The settings of direct inversion."""

from __future__ import annotations

from dataclasses import dataclass

from .._core.validation import check_finite, check_positive, check_whole


@dataclass(frozen=True)
class DirectConfig:
    """How the inverses of the blocks are built and trained.

    Each block's inverse is trained for `steps`, and then all together for `joint` steps without the
    term of weight `block`. Of each stage the best state is kept.

    Args:
        steps: training steps of each block.
        joint: steps of all together.
        batch_size: images in a step.
        lr: learning rate of Adam.
        joint_lr: that of all together.
        every_depth: together, train from every depth, or from the last alone.
        in_turn: not from every depth in each step, but from the last and a random one in turn.
        width: hidden channels of an inverse.
        block: weight of the representation before each block.
        image: weight of the image that the inverses so far arrive at.
        cycle: weight of what the model makes of that image, at every block.
        answer: weight of its probabilities, in nats, where it is a classifier.
        source: one of `synthetic.KINDS` or "mixed", to learn on where no data are given.
        bfloat16: let torch train in 16 bits: faster where the processor knows them, and slower
            where it does not.
        keep_best: a stage ends with the best of its states on images that it does not train on,
            and is none worse than it began, at any depth; its rate is halved where it gets worse.
            False: with its last state, whatever that is.

    Example:
        >>> import netinv_lite as nil
        >>> config = nil.direct.DirectConfig(steps=100, joint=300, source="strokes")
        >>> config.steps, config.lr
        (100, 0.002)
    """

    steps: int = 500
    joint: int = 900
    batch_size: int = 32
    lr: float = 2e-3
    joint_lr: float = 1e-3
    every_depth: bool = True
    in_turn: bool = False
    width: int = 32
    block: float = 1.0
    image: float = 1.0
    cycle: float = 1.0
    answer: float = 0.1
    source: str = "scenes"
    bfloat16: bool = False
    keep_best: bool = True

    def __post_init__(self) -> None:
        check_whole(self, steps=1, joint=0, batch_size=2, width=1)
        check_finite(self, "block", "image", "cycle", "answer")
        check_positive(self, "lr", "joint_lr")
        if not (self.block or self.image or self.cycle or self.answer):
            raise ValueError("One of the weights block, image, cycle and answer must be positive.")

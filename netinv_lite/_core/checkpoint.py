"""The state of a training in one file, from which a stopped run continues to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .device import device_of
from .random_state import random_state, set_random_state
from .serialization import check_writable, located, plain, read_tensors, split, write_tensors


class Checkpoint:
    """Modules, the state of their optimisers, the random state, and how far the run has come.

    Args:
        path: the file; None for a run that keeps nothing.
        identity: all that decides the result, as JSON: config, seed, data and the like.
        modules: what is trained, by name; all on one device.
        optimisers: theirs, by name. Their learning rates are set by the run.

    Raises:
        ValueError: a module has a state that cannot be saved, see `serialization.plain`.
        OSError: the file cannot be written. Both come before the work, not after it.
    """

    def __init__(
        self,
        path: str | Path | None,
        identity: dict,
        modules: dict[str, nn.Module],
        optimisers: dict[str, torch.optim.Optimizer],
    ) -> None:
        self.path = located(path) if path else None
        self.identity = json.loads(json.dumps(identity))  # as it will be read
        self.modules, self.optimisers = modules, optimisers
        if self.path:
            plain(self._states())
            check_writable(self.path)

    def save(self, tensors: dict[str, Tensor] | None = None, **about: Any) -> None:
        """Write the state.

        Args:
            tensors: others to keep beside it, by name.
            **about: where the run is, as JSON: the step, the history.
        """
        if self.path is None:
            return
        states = self._states() | (tensors or {})
        for name, optimiser in self.optimisers.items():
            for i, (p, _) in enumerate(_parameters(optimiser)):
                for key, value in optimiser.state.get(p, {}).items():
                    states[f"{name}.{i}.{key}"] = value
        write_tensors(
            self.path, states | random_state(self._device), identity=self.identity, **about
        )

    def restore(self) -> tuple[dict[str, Any], dict] | None:
        """Load the state that the file holds.

        Returns:
            All tensors of the file and the `about` of `save`; None if there is no file yet.

        Raises:
            ValueError: the file is damaged, or belongs to another run or another network; nothing
                has been changed then.
        """
        if self.path is None or not self.path.exists():
            return None
        tensors, about = read_tensors(self.path)
        self._check(about.get("identity"))
        states = {name: split(tensors, name) for name in self.modules}
        for name, module in self.modules.items():
            check_fits(module, states[name], self.path, "remove it or name another checkpoint")
        for name, module in self.modules.items():
            module.load_state_dict(states[name])
        for name, optimiser in self.optimisers.items():
            for i, (p, group) in enumerate(_parameters(optimiser)):
                state = split(tensors, f"{name}.{i}")
                if state:  # a frozen parameter has none
                    optimiser.state[p] = _placed(state, p, group)
        set_random_state(tensors, self._device)
        return tensors, about

    @property
    def kept(self) -> str:
        """The end of a sentence about a stopped run."""
        return f"; {self.path} resumes it" if self.path and self.path.exists() else ""

    @property
    def _device(self) -> torch.device:
        return device_of(next(iter(self.modules.values())))

    def _states(self) -> dict[str, Any]:
        return {
            f"{name}.{key}": value
            for name, module in self.modules.items()
            for key, value in module.state_dict().items()
        }

    def _check(self, theirs: object) -> None:
        if theirs == self.identity:
            return
        known = theirs if isinstance(theirs, dict) else {}
        differ = [key for key, value in self.identity.items() if known.get(key) != value]
        said = f"other {', '.join(differ)}" if known and differ else "another kind of file"
        raise ValueError(
            f"{self.path} belongs to another run ({said}); remove it or name another checkpoint."
        )


def check_fits(module: nn.Module, state: dict[str, Any], path: str | Path, remedy: str) -> None:
    """Raise a ValueError, with a `remedy`, unless `state`, of the file at `path`, fits the module.

    `load_state_dict` by itself would fill what fits, and only then complain.

    Args:
        module: the network that is to be filled.
        state: the state dict.
        path: for the message.
        remedy: the end of the message: what to do.
    """
    own = module.state_dict()
    if {k: _shape(v) for k, v in own.items()} != {k: _shape(v) for k, v in state.items()}:
        raise ValueError(
            f"{path} holds another network than this {type(module).__name__}; {remedy}."
        )


def _shape(value: object) -> torch.Size | None:
    return value.shape if isinstance(value, Tensor) else None


def _parameters(optimiser: torch.optim.Optimizer) -> list[tuple[nn.Parameter, dict]]:
    """Every parameter in its order, with the settings of its group."""
    return [(p, group) for group in optimiser.param_groups for p in group["params"]]


def _placed(state: dict[str, Any], p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
    """The state of parameter p, on its device, in its memory order (which fused steps rely on)."""
    moved = {key: _like(value, p) for key, value in state.items()}
    if "step" in state and not (group.get("fused") or group.get("capturable")):
        moved["step"] = state["step"]  # only these two count their steps on the device
    return moved


def _like(value: Any, p: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    same = value.shape == p.shape
    return torch.empty_like(p, dtype=value.dtype).copy_(value) if same else value.to(p.device)

"""The state of a training, kept in one file, from which a stopped run goes on to the same bits."""

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
    """Modules, the state of their optimisers, random numbers, and how far the run has come.

    Args:
        path: the file; None for a run that keeps nothing.
        identity: what JSON can hold of all that decides the result, such as config, seed and data.
        modules: what is trained, by name; all on one device.
        optimisers: theirs, by name. Their learning rates are the run's to set.

    Raises:
        ValueError: a module has a state that cannot be saved, see `weights.plain`.
        OSError: no file can be written there. Both come before the work and not after it.
    """

    def __init__(self, path: str | Path | None, identity: dict, modules: dict[str, nn.Module],
                 optimisers: dict[str, torch.optim.Optimizer]):  # fmt: skip
        self.path = located(path) if path else None
        self.identity = json.loads(json.dumps(identity))  # as it will be read
        self.modules, self.optimisers = modules, optimisers
        if self.path:
            plain(self._states())
            check_writable(self.path)

    def save(self, tensors: dict[str, Tensor] | None = None, **about) -> None:
        """Write the state, other `tensors`, and what JSON holds of where the run is."""
        if self.path is None:
            return
        states = self._states() | (tensors or {})
        for name, optimiser in self.optimisers.items():
            for i, (p, _) in enumerate(_parameters(optimiser)):
                for key, value in optimiser.state.get(p, {}).items():
                    states[f"{name}.{i}.{key}"] = value
        write_tensors(self.path, states | random_state(self._device),
                      identity=self.identity, **about)  # fmt: skip

    def restore(self) -> tuple[dict[str, Any], dict] | None:
        """Take up the state that the file holds; None where there is no file yet.

        Returns:
            All tensors of the file, and what `save` was told beside them.

        Raises:
            ValueError: the file is damaged, or is of another run or another network. Nothing has
                been changed then.
        """
        if self.path is None or not self.path.exists():
            return None
        tensors, about = read_tensors(self.path)
        self._check(about.get("identity"))
        for name, module in self.modules.items():
            check_fits(module, split(tensors, name), self.path,
                       "remove it or name another checkpoint")  # fmt: skip
        for name, module in self.modules.items():
            module.load_state_dict(split(tensors, name))
        for name, optimiser in self.optimisers.items():
            for i, (p, group) in enumerate(_parameters(optimiser)):
                state = split(tensors, f"{name}.{i}")
                if state:  # a frozen parameter has none
                    on_device = group.get("fused") or group.get("capturable")
                    optimiser.state[p] = {
                        key: value if key == "step" and not on_device else _placed(value, p)
                        for key, value in state.items()
                    }
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
        return {f"{name}.{key}": value for name, module in self.modules.items()
                for key, value in module.state_dict().items()}  # fmt: skip

    def _check(self, theirs) -> None:
        if theirs == self.identity:
            return
        known = theirs if isinstance(theirs, dict) else {}
        differ = [key for key, value in self.identity.items() if known.get(key) != value]
        said = f"other {', '.join(differ)}" if known and differ else "another kind of file"
        raise ValueError(f"{self.path} belongs to another run ({said}); remove it or name another "
                         "checkpoint.")  # fmt: skip


def check_fits(module: nn.Module, state: dict[str, Any], path: str | Path, remedy: str) -> None:
    """Raise a ValueError unless `state`, of the file at `path`, is that of such a module.

    `load_state_dict` by itself would fill what fits, and only then complain.
    """
    own = module.state_dict()
    if {k: _shape(v) for k, v in own.items()} != {k: _shape(v) for k, v in state.items()}:
        raise ValueError(f"{path} holds another network than this {type(module).__name__}; "
                         f"{remedy}.")  # fmt: skip


def _shape(value):
    return value.shape if isinstance(value, Tensor) else None


def _parameters(optimiser: torch.optim.Optimizer) -> list[tuple[nn.Parameter, dict]]:
    """Every parameter in its order, with the settings of its group."""
    return [(p, group) for group in optimiser.param_groups for p in group["params"]]


def _placed(value, p: Tensor):
    """A state of parameter p, on its device, in its memory order (which fused steps rely on)."""
    if not isinstance(value, Tensor):
        return value
    same = value.shape == p.shape
    return torch.empty_like(p, dtype=value.dtype).copy_(value) if same else value.to(p.device)

"""Files of the command line: checked before any work, kept where it is stopped."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from .._core.serialization import fingerprint, read_tensors


def check_target(path: Path, suffix: str) -> None:
    """Raise, before any work is done, if `path` cannot be written or has another suffix.

    Raises:
        ValueError: another suffix.
        OSError: it cannot be written.
    """
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: the name of this file must end in {suffix}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError("it is a folder: name a file in it")
    except OSError as error:
        raise OSError(
            f"Cannot write {path} ({error}). Choose a folder that you may write to."
        ) from error


def checkpoint_beside(
    save: str, classifier: nn.Module, settings: dict[str, Any], seed: int
) -> Path:
    """A hidden file beside `save`, named after all that decides the result.

    Another network, setting or seed has another name, so only the same run is ever resumed.
    """
    weights = fingerprint(classifier.state_dict())
    what = f"{sorted(settings.items())} {seed} {classifier!r} {weights}"
    digest = hashlib.sha256(what.encode()).hexdigest()[:10]
    path = Path(save)
    return path.with_name(f".{path.name}.{digest}.partial")


@contextmanager
def keeping_epochs(checkpoint: Path) -> Iterator[None]:
    """On Ctrl-C inside `with`, raise again with the number of epochs that are kept, and where."""
    try:
        yield
    except KeyboardInterrupt as stop:
        done = read_tensors(checkpoint)[1].get("epoch") if checkpoint.exists() else None
        kept = f"{done} epochs, in {checkpoint}" if done else "nothing yet, no epoch was complete"
        raise KeyboardInterrupt(f"kept: {kept}. To go on:") from stop

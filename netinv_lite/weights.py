"""Tensors on disk: safetensors with a JSON beside them, written atomically, checked by hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_HERE = Path(__file__).parent
# A wheel carries the shipped files inside the package; a checkout keeps them at its root.
SHIPPED = _HERE / "_data" if (_HERE / "_data").is_dir() else _HERE.parent / "data"


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write` on a temporary neighbour of `path`, then rename it: whole or not at all."""
    path = Path(path)
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        write(partial)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"Cannot write {path} ({error}). Choose a folder that you may write to and that has "
            "room left; nothing was overwritten."
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, content: dict) -> Path:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2) + "\n"
    return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_tensors(path: str | Path, tensors: dict[str, Tensor], **metadata) -> Path:
    """Write `tensors` as safetensors; the keywords, and a hash of all, are JSON in its header."""
    about = json.loads(json.dumps(metadata))  # as it will be read
    # Cloned, because safetensors takes no two names for one memory (tied weights).
    flat = {key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}
    # One entry, because safetensors writes several in random order: equal content, equal file.
    header = {_ENTRY: json.dumps({"sha256": _hash(flat, about), **about})}
    return write_atomically(path, lambda p: save_file(flat, str(p), metadata=header))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and metadata of a safetensors file.

    Raises FileNotFoundError where there is none, ValueError where it is truncated, is not what
    `write_tensors` wrote there, or is not a safetensors file (a pickle is never opened).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is truncated, altered or not a safetensors file ({error}). Get a whole copy; "
            "pickled .pt/.pth files are not read, convert them with safetensors.torch.save_file."
        ) from error
    about = {key: _parsed(text) for key, text in header.items()}
    if _ENTRY not in about:  # another program's file, or one that ships
        return tensors, about
    about = about[_ENTRY]
    if not isinstance(about, dict) or about.pop("sha256", None) != _hash(tensors, about):
        raise ValueError(f"{path} was altered after it had been written: get a whole copy.")
    return tensors, about


_ENTRY = "netinv_lite"


def _hash(tensors: dict[str, Tensor], about: dict) -> str:
    text = fingerprint(tensors) + json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(text: str):
    try:
        return json.loads(text)
    except ValueError:  # another program's file, such as {"format": "pt"}
        return text


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Hexadecimal SHA-256 of names and values, whatever their device."""
    digest = hashlib.sha256()
    for name, t in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def split(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix.`, without it."""
    start = prefix + "."
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}


def versions() -> dict:
    """What a result depends on: device and library versions."""
    import platform

    import torchvision

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }


def about() -> str:
    """One line for the top of a notebook: versions and device."""
    from . import __version__

    v = versions()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"netinv_lite {__version__}, Python {v['python']}, torch {v['torch']}, {device}, "
        f"{v['threads']} thread{'s' * (v['threads'] != 1)}"
    )

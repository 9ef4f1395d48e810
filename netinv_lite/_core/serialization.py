"""Tensors on disk: safetensors with a JSON beside them, written atomically, checked by hash."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .entries import plain

_ENTRY, _OTHERS = "netinv_lite", "not tensors"  # in the header of a file
_HERE = Path(__file__).parents[1]  # the package
# A wheel carries the shipped files inside the package; a checkout keeps them at its root.
SHIPPED = _HERE / "_data" if (_HERE / "_data").is_dir() else _HERE.parent / "data"


def located(path: str | Path) -> Path:
    """The path with a leading ~ expanded.

    Raises:
        ValueError: there is no home folder that ~ could stand for.
    """
    path = Path(os.path.expanduser(path))
    if path.parts[:1] == ("~",):
        raise ValueError(
            f"{path}: there is no home folder here that ~ could stand for. Write the path out, or "
            "set HOME."
        )
    return path


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write` on a temporary file beside `path`, then rename it: whole or not at all.

    As if the file had been opened and written: a symbolic link is followed, a new file has the
    permissions that the umask leaves, an old one keeps its own.

    Args:
        path: the file; its folder is made if it does not exist.
        write: writes the content to the path that it is given.

    Returns:
        The path, with a leading ~ expanded.

    Raises:
        OSError: the file cannot be written; what was there before still is.
    """
    path = located(path)
    partial = None
    try:
        target = path.resolve() if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError("it is a folder: name a file in it")
        if target.exists() and not target.is_file():
            raise OSError("it is no regular file: name another")
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        partial.touch()
        mode = stat.S_IMODE((target if target.exists() else partial).stat().st_mode)
        write(partial)
        with suppress(OSError):  # a file system without permissions
            partial.chmod(mode)
        os.replace(partial, target)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"Cannot write {path} ({error}). Choose a folder that you may write to and that has "
            "room left; nothing was overwritten."
        ) from error
    finally:
        if partial is not None:
            with suppress(OSError):  # the error above says more
                partial.unlink(missing_ok=True)
    return path


def check_writable(path: str | Path) -> None:
    """Raise, before any work is done, the OSError with which `write_atomically` would end it."""

    class Enough(Exception):
        pass

    def stop(_partial: Path) -> None:
        raise Enough

    with suppress(Enough):
        write_atomically(path, stop)


def write_json(path: str | Path, content: dict) -> Path:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2) + "\n"

    def write(partial: Path) -> None:
        partial.write_text(text, encoding="utf-8")

    return write_atomically(path, write)


def write_tensors(path: str | Path, tensors: dict[str, Any], **metadata: Any) -> Path:
    """Write `tensors` as safetensors; the keywords, and a hash of all, are JSON in its header.

    Entries of a state dict that are not tensors (what `get_extra_state` returns) go into that
    header as well.

    Args:
        path: the file.
        tensors: a state dict, or several under prefixes.
        **metadata: what JSON can hold.

    Returns:
        The path, with a leading ~ expanded.

    Raises:
        ValueError: an entry is neither a tensor nor what JSON can hold, see `plain`.
        OSError: the file cannot be written.
    """
    about = json.loads(json.dumps(metadata))  # as it will be read
    others = plain(tensors)
    if others:
        about[_OTHERS] = others
    # Cloned, because safetensors takes no two names for one memory (tied weights).
    flat = {key: t for key, t in tensors.items() if key not in others}
    flat = {key: t.detach().cpu().contiguous().clone() for key, t in flat.items()}
    # One entry, because safetensors writes several in random order: equal content, equal file.
    header = {_ENTRY: json.dumps({"sha256": _hash(flat, about), **about})}
    return write_atomically(path, lambda p: save_file(flat, str(p), metadata=header))


def halved(value: Any) -> Any:
    """A tensor of floats in 16 bits, or in its own type where it does not fit (a large variance).

    All else is returned as it is.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    half = value.half()
    return half if torch.equal(half.isfinite(), value.isfinite()) else value


def read_tensors(path: str | Path) -> tuple[dict[str, Any], dict]:
    """Tensors and metadata of a safetensors file, as `write_tensors` got them.

    Returns:
        The tensors, in memory of their own, and the metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated, is not what `write_tensors` wrote, or is not a safetensors
            file (a pickle is never opened).
    """
    path = located(path)
    if not path.is_file():
        hint = "name a file in this folder" if path.is_dir() else "check the path, or save it first"
        raise FileNotFoundError(f"There is no file {path}: {hint}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            # Copies, for the file's own memory would keep it open: Windows replaces no such file.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
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
    return {**tensors, **about.pop(_OTHERS, {})}, about


def read_saved(path: str | Path, kind: str, owner: str) -> tuple[dict[str, Any], dict]:
    """Tensors and metadata of what `owner`.save wrote: `kind` is the metadata's entry about it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or as `read_tensors`.
    """
    tensors, about = read_tensors(path)
    if kind not in about:
        raise ValueError(
            f"{path} holds tensors, but no saved {kind}: name a file that {owner}.save wrote."
        )
    return tensors, about


def _hash(tensors: dict[str, Tensor], about: dict) -> str:
    text = fingerprint(tensors) + json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # another program's file, such as {"format": "pt"}
        return text


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(located(path).read_bytes()).hexdigest()


def fingerprint(tensors: dict[str, Any]) -> str:
    """Hexadecimal SHA-256 of the names and values of all tensors, whatever their device.

    Other entries of a state dict are left out: they do not make it another network.
    """
    digest = hashlib.sha256()
    for name, t in sorted(tensors.items()):
        if isinstance(t, Tensor):
            digest.update(name.encode())
            digest.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def split(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose name begins with `prefix` and a dot, without them."""
    start = prefix + "."
    return {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}


def versions() -> dict:
    """What a result depends on: versions of the libraries, threads, machine."""
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
    """One line for the top of a notebook: versions, device, threads.

    Returns:
        The line.

    Example:
        >>> import netinv_lite as nil
        >>> print(nil.about())
        netinv_lite ..., Python 3..., torch ..., ... thread...
    """
    from .. import __version__

    v = versions()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"netinv_lite {__version__}, Python {v['python']}, torch {v['torch']}, {device}, "
        f"{v['threads']} thread{'s' * (v['threads'] != 1)}"
    )

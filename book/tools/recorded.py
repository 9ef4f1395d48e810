"""Which shipped files a chapter opens: recorded when it runs, kept in it, and copied with it.

The record is `netinv.files` in the notebook's metadata: paths under data/, or a folder's
`*.json`, where the chapter read all of them, as it does to find out which networks there are.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from setup_cell import ROOT

DATA = ROOT / "data"


def environment(log: Path, data: Path = DATA) -> dict[str, str]:
    """Variables that make `tests/no_network` note in `log` what is opened under `data`."""
    return {"NETINV_OPENED_LOG": str(log), "NETINV_OPENED_UNDER": str(data)}


def opened(log: Path, data: Path = DATA) -> set[str]:
    """The files noted in `log`, relative to `data`; those that were looked for in vain are not."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return {Path(line).relative_to(data).as_posix() for line in lines if Path(line).is_file()}


def entries(files: set[str], data: Path = DATA) -> list[str]:
    """The record of `files`, sorted. All JSONs of a folder are one entry.

    They are small and are listed together: so another network is no reason to run every chapter.
    """
    kept = set(files)
    for folder in {PurePosixPath(name).parent for name in files}:
        listed = {str(folder / path.name) for path in data.glob(f"{folder}/*.json")}
        if len(listed) > 1 and listed <= files:
            kept = kept - listed | {str(folder / "*.json")}
    return sorted(kept)


def code_digest(notebook) -> str:
    """SHA-256 of the code that ran; without the set-up cell, whose address may change alone."""
    ran = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]
    return hashlib.sha256("\0".join(ran).encode()).hexdigest()


def record(notebook) -> list[str]:
    """The record that `notebook` keeps of its last run. Raises ValueError where it has none."""
    kept = notebook.metadata.get("netinv", {})
    if "files" not in kept:
        raise ValueError("no record of the files it opens; run book/tools/execute.py")
    if kept.get("code") != code_digest(notebook):
        raise ValueError(
            "its code is not the code that gave its outputs; run book/tools/execute.py"
        )
    return list(kept["files"])


def needed(notebook, data: Path = DATA) -> list[Path]:
    """The shipped files that `notebook` opens. Raises ValueError as `record`, or for one gone."""
    found = {entry: sorted(data.glob(entry)) for entry in record(notebook)}
    gone = [entry for entry, paths in found.items() if not paths]
    if gone:
        raise ValueError(f"no longer under data/: {', '.join(gone)}; run book/tools/execute.py")
    return sorted({path for paths in found.values() for path in paths})


def beyond(files: set[str], notebook) -> list[str]:
    """Those of `files` that are not in the record of `notebook`."""
    kept = record(notebook)
    return sorted(name for name in files if not any(fnmatchcase(name, entry) for entry in kept))

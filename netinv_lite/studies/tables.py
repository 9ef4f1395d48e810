"""The table of a study and its provenance: written after every run, read by chapters."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.serialization import SHIPPED, versions, write_atomically, write_json

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

# Columns that are neither a setting nor a measurement.
KEYS = ("run", "weights", "seconds", "error")


def load_results(name: str, folder: str | Path | None = None) -> pd.DataFrame:
    """The finished runs of an experiment, from those that ship or from `folder`.

    Args:
        name: of the experiment.
        folder: where its table lies; by default those that ship.

    Returns:
        A row for each run: its settings, what was measured, and the seconds it took.

    Raises:
        FileNotFoundError: there are none; the message says what makes them.

    Example:
        >>> import netinv_lite as nil
        >>> table = nil.studies.load_results("losses")
        >>> sorted(table["dataset"].unique())
        ['digits', 'fashion_mnist', 'mnist']
    """
    path = _stored(f"{name}.csv", folder)
    frame = framed([row for row in known(path).values() if not row["error"]])
    return frame.drop(columns=["run", "weights", "error"])


def provenance(name: str, folder: str | Path | None = None) -> str:
    """How a table came about, in a line: its command, runs, device and version of torch.

    Args:
        name: of the experiment.
        folder: where its table lies; by default those that ship.

    Raises:
        FileNotFoundError: there is none.

    Example:
        >>> import netinv_lite as nil
        >>> nil.studies.provenance("losses").split(" | ")[0]
        'python -m netinv_lite experiment losses'
    """
    made = json.loads(_stored(f"{name}.json", folder).read_text(encoding="utf-8"))
    planned = made.get("planned", made["runs"])
    runs = made["runs"] if planned <= made["runs"] else f"{made['runs']} of {planned}"
    return f"{made['command']} | {runs} runs, {made['device']} | torch {made['torch']}"


def _stored(file: str, folder: str | Path | None) -> Path:
    path = Path(folder or SHIPPED / "results") / file
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no results at {path}; this makes them: "
            f"python -m netinv_lite experiment {path.stem}"
        )
    return path


def known(path: Path) -> dict[str, Row]:
    """The rows of the table at `path` by their key; {} where there is none.

    Raises:
        ValueError: the file is another table.
    """
    if not path.is_file() or path.stat().st_size < 2:  # two: the line end of an empty table
        return {}
    import pandas as pd

    text = dict.fromkeys(("run", "weights", "error"), str)  # a hash may look like a number
    frame = pd.read_csv(path, dtype=text).fillna({"error": ""})
    if not {*KEYS} <= {*frame.columns}:
        raise ValueError(
            f"{path} is not a table of runs: it lacks one of {', '.join(KEYS)}. Move it away."
        )
    return {row["run"]: row for row in frame.to_dict("records")}


def framed(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table, the columns that are no measurement last."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    return frame[[c for c in frame if c not in KEYS[1:]] + [c for c in KEYS[1:] if c in frame]]


def write(path: Path, rows: dict[str, Row], order: Iterable[str]) -> None:
    """All rows, those of this call first and in its order."""
    ordered = [rows[k] for k in dict.fromkeys([*order, *rows]) if k in rows]
    frame = framed(ordered)
    write_atomically(path, lambda p: frame.to_csv(p, index=False))


def describe(path: Path, rows: dict[str, Row], question: str, **about: Any) -> None:
    """Write the provenance of the table at `path` beside it: `about` and what is in the rows."""
    done = [row for row in rows.values() if not row["error"]]
    made = {
        "experiment": path.stem,
        "question": question,
        "command": f"python -m netinv_lite experiment {path.stem}",
        "runs": len(done),
        "failed": len(rows) - len(done),
        "datasets": sorted({row["dataset"] for row in done}),
        "seeds": sorted({row["seed"] for row in done}),
        "seconds_of_all_runs": round(sum(row["seconds"] for row in done), 1),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **versions(),
        "threads": 1,
        **about,
    }
    write_json(path.with_suffix(".json"), made)

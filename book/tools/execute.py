"""Run chapters on fresh kernels, offline; store outputs, numbers of the text, cost, and files.

python book/tools/execute.py [book/01-*.ipynb ...]     without a name: every chapter
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import math
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

import prose_numbers
import recorded
from fresh_machine import fresh_environment, run
from recorded import code_digest
from setup_cell import pages

SIZE_LIMIT = 1_500_000  # bytes of one notebook
PNG_LIMIT = 100_000  # bytes above which a figure is stored in 256 colours
COST = re.compile(r"<!-- cost -->.*?<!-- /cost -->", re.DOTALL)
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colours of a traceback
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}


# --- what is stored -------------------------------------------------------------------------


def last_state(text: str) -> str:
    """What a terminal shows of `text` in the end: carriage returns overwrite their line."""
    lines = [re.split(r"\r+", line.rstrip("\r")) for line in text.split("\n")]
    return "\n".join(states[-1] for states in lines)


def tidy_outputs(outputs: list) -> list:
    """Consecutive streams merged, progress bars at their last state, widgets dropped, PNGs small.

    A widget without a kernel is dead, so nothing of it is stored.
    """
    kept = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = last_state(output.text)
        elif "image/png" in output.get("data", {}):
            output.data["image/png"] = smaller_png(output.data["image/png"])
    return [output for output in kept if output.output_type != "stream" or output.text.strip()]


def smaller_png(encoded: str) -> str:
    """The same picture without metadata; in 256 colours where it is large and that is smaller."""
    raw = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(raw))
    if image.mode == "RGBA" and image.getextrema()[3][0] == 255:
        image = image.convert("RGB")  # not transparent anywhere
    best = min(raw, _png(image), key=len)
    if len(best) > PNG_LIMIT and image.mode in ("RGB", "RGBA"):
        method = Image.Quantize.MEDIANCUT if image.mode == "RGB" else Image.Quantize.FASTOCTREE
        few = image.quantize(256, method=method, dither=Image.Dither.NONE)
        best = min(best, _png(few), key=len)
    return base64.b64encode(best).decode("ascii")


def _png(image: Image.Image) -> bytes:
    clean = image.copy()
    clean.info = {key: clean.info[key] for key in ("transparency",) if key in clean.info}
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def tidy(notebook) -> None:
    """Leave nothing in `notebook` that a second run would change without need."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    kept = {key: notebook.metadata[key] for key in ("netinv", "mystnb") if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(
        {**kept, "kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    seen = set()
    for cell in notebook.cells:
        keys = [key for key in ("tags", "mystnb", "netinv") if key in cell.metadata]
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in keys})
        cell.id = _cell_id(cell, seen)
        if cell.cell_type == "code":
            cell.outputs = tidy_outputs(cell.outputs)
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = cell.execution_count


def _cell_id(cell, seen: set) -> str:
    """The cell's own id where it has one; otherwise one made of its text, the same every time."""
    name, number = cell.get("id"), 0
    while not name or name in seen:
        name = hashlib.sha256(f"{number}{cell.source}".encode()).hexdigest()[:8]
        number += 1
    seen.add(name)
    return name


def settled(new: dict, old: dict | None) -> dict:
    """`new` where it differs from `old` by more than the noise between two runs; else `old`."""
    if not old or old.keys() != new.keys() or old["threads"] != new["threads"]:
        return new
    keys = ("seconds", "memory_mb")
    same = all(abs(new[key] - old[key]) <= max(0.3 * old[key], 10) for key in keys)
    return dict(old) if same else new


def needed(cost: dict) -> float:
    """Seconds by the clock or, where other programs held the machine up, of the processor."""
    return min(cost["seconds"], cost["cpu_seconds"])


def cost_text(cost: dict) -> str:
    """For a reader: `1.4 minutes on 2 CPU cores (measured with 1 thread), 0.9 GB of memory`."""
    minutes = round(needed(cost) / 60, 1)
    time_text = f"{minutes} minutes" if minutes > 0.5 else "less than half a minute"
    threads = f"{cost['threads']} thread{'s' * (cost['threads'] > 1)}"
    memory = math.ceil(cost["memory_mb"] / 100) / 10
    return f"{time_text} on 2 CPU cores (measured with {threads}), {memory} GB of memory"


def keep_record(notebook, cost: dict, files: list[str]) -> None:
    """Put into the metadata which code ran, what it cost, and which shipped files it opened."""
    code = code_digest(notebook)
    if notebook.metadata.get("netinv", {}).get("code") != code:
        notebook.metadata.pop("netinv", None)  # other code, another cost
    fill_cost(notebook, cost)
    prose = prose_numbers.digest(notebook)
    notebook.metadata["netinv"].update(code=code, prose=prose, files=files)


def fill_cost(notebook, cost: dict) -> None:
    """Record `cost` in the notebook's metadata and in the comment pair of its first cell."""
    first = notebook.cells[0]
    netinv = dict(notebook.metadata.get("netinv", {}))
    netinv["cost"] = settled(cost, netinv.get("cost"))
    notebook.metadata["netinv"] = nbformat.from_dict(netinv)
    text = f"<!-- cost -->{cost_text(netinv['cost'])}<!-- /cost -->"
    first.source = COST.sub(lambda _: text, first.source, count=1)


def write(notebook, path: Path) -> None:
    """Write `notebook` to `path` whole or not at all, and not when it is too large."""
    nbformat.validate(notebook)
    data = (nbformat.writes(notebook).rstrip("\n") + "\n").encode("utf-8")
    if len(data) > SIZE_LIMIT:
        raise ValueError(
            f"{len(data):,} bytes; a chapter may have {SIZE_LIMIT:,}. Smaller figures?"
        )
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mode = path.stat().st_mode if path.exists() else 0o644
        os.chmod(partial, mode)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def execute(path: Path, *, threads: int = 1, timeout: int = 600) -> dict:
    """Run the notebook at `path` top to bottom and store it; returns what it cost."""
    notebook = nbformat.read(path, as_version=4)
    if not COST.search(notebook.cells[0].source):
        raise ValueError("the first cell has no <!-- cost --><!-- /cost --> to be filled in")
    for cell in notebook.cells:
        if "raises-exception" in cell.metadata.get("tags", []):
            raise ValueError("a cell is tagged raises-exception; stored errors are not published")
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder, "home"), Path(folder, "opened")
        home.mkdir()
        env = fresh_environment(home, threads=threads) | recorded.environment(log)
        notebook.cells.append(prose_numbers.question(notebook))
        cost = run(notebook, path.parent, env=env, timeout=timeout)
        prose_numbers.fill(notebook, prose_numbers.values(notebook.cells.pop()))
        files = recorded.entries(recorded.opened(log))
    tidy(notebook)
    keep_record(notebook, {**cost, "threads": threads}, files)
    write(notebook, path)
    return cost


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every chapter")
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS (the tests use 1)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one cell may take")
    options = parser.parse_args(arguments)
    failed = 0
    for path in options.notebooks or pages():
        print(f"{path.name} …", end=" ", flush=True)
        try:
            cost = execute(path.resolve(), threads=options.threads, timeout=options.timeout)
            print(f"{cost['seconds']:.0f} s, {cost['memory_mb']} MB, {path.stat().st_size:,} bytes")
        except (CellExecutionError, CellTimeoutError, DeadKernelError, ValueError) as error:
            failed += 1
            print("NOT WRITTEN")
            print(ANSI.sub("", str(error)), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The networks in a folder: their accuracies, and whether each is the file on record."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .._core.serialization import SHIPPED, located, sha256
from .._core.validation import check_name

Entry = tuple[dict[str, Any], str]  # the record of a network, and what is wrong with its file


def list_weights(
    name: str | None = None, folder: str | Path | None = None, *, full: bool = False
) -> int:
    """Print the networks in a folder and check each against its hash.

    Args:
        name: one network, of which all is printed; by default a table of all.
        folder: by default that of the networks that ship.
        full: whether whole hashes are printed.

    Returns:
        0, or 1 if one is damaged.

    Raises:
        FileNotFoundError: the folder holds no networks.
        ValueError: there is no network of that name.
    """
    folder = located(folder) if folder else SHIPPED / "weights"
    names = sorted({p.stem for end in ("json", "safetensors") for p in folder.glob(f"*.{end}")})
    if not names:
        raise FileNotFoundError(
            f"There are no networks in {folder}: name a folder that `fit --out` has written."
        )
    if name:
        check_name(name, names, "network")
        names = [name]
    entries = {n: _entry(folder / f"{n}.safetensors") for n in names}
    if name:
        record, fault = entries[name]
        print("\n".join(describe(name, record)))
        print(f"  {fault or 'the file is the one that was recorded'}")
    else:
        _print_table(entries, folder, full=full)
    damaged = {n: fault for n, (_, fault) in entries.items() if fault}
    for n, fault in damaged.items():
        print(
            f"error: {n}: {fault}. Restore it, for example with `git checkout`, or make it "
            f"again with `python -m netinv_lite fit {n}`.",
            file=sys.stderr,
        )
    return 1 if damaged else 0


def _entry(path: Path) -> Entry:
    """The record of the network at `path`, and what is wrong with it ("" for nothing)."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        whole = sha256(path) == record["sha256"]
    except FileNotFoundError as error:
        return {}, f"ABSENT, {error.filename}"
    except (ValueError, KeyError, TypeError):
        return {}, f"UNREADABLE record {path.with_suffix('.json')}"
    return record, "" if whole else f"DAMAGED, {path} is not the file that was recorded"


def _print_table(entries: dict[str, Entry], folder: Path, *, full: bool) -> None:
    rows: list[tuple[str, ...]] = [
        ("name", "network", "test accuracy", "attacked", "test images", "size", "sha256", "")
    ]
    for name, entry in entries.items():
        rows.append((name, *_row(folder / f"{name}.safetensors", *entry, full=full)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        print("  ".join(c.rjust(w) if i in (2, 4, 5) else c.ljust(w) for c, w, i in cells).rstrip())
    print("\nattacked: accuracy under L2 PGD of that radius, in units of the input range.")


def _row(path: Path, record: dict[str, Any], fault: str, *, full: bool) -> tuple[str, ...]:
    """The cells of a network, after its name."""
    pgd, digest = record.get("pgd"), record.get("sha256", "-")
    return (
        record.get("architecture", "-"),
        _percent(record.get("test_accuracy")),
        f"{_percent(pgd['accuracy'])} at {pgd['eps']:g}" if pgd else "-",
        f"{record.get('test_images', 0):,}",
        f"{path.stat().st_size / 1024:,.0f} KiB" if path.exists() else "-",
        digest if full else digest[:12],
        fault.split(",")[0].split(" ")[0],
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def describe(name: str, record: dict[str, Any]) -> list[str]:
    """The record of a network in words, line by line."""
    lines = [f"{name}: {record.get('architecture', 'unknown')}, seed {record.get('seed')}"]
    if "test_accuracy" in record:
        lines.append(
            f"  test accuracy {record['test_accuracy']:.2%} on {record['test_images']:,} "
            f"images: {record['test_set']}"
        )
    if pgd := record.get("pgd"):
        lines.append(
            f"  {pgd['accuracy']:.2%} under {pgd['norm']} PGD of radius {pgd['eps']:g}, "
            f"{pgd['steps']} steps, on {pgd['test_images']:,} of them"
        )
    if "train_images" in record:
        lines.append(
            f"  trained on {record['train_images']:,} images of {record['data']}, "
            f"{record['training']['epochs']} epochs; the last run took "
            f"{record['seconds_of_last_run']:g} s"
        )
    lines += [f"  {key} {record[key]}" for key in ("command", "sha256") if key in record]
    return lines

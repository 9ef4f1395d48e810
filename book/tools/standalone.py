"""Write chapters as self-contained notebooks: the module and the weights they need inside.

python book/tools/standalone.py [--out DIR] [NN ...]    without a number: every chapter

Each file can be uploaded to Colab, or opened anywhere that has torch, without an installation.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
import zipfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
LINE = 2000  # characters of base64 on a line: one endless line stalls the editors
CELL = '''\
#@title The module `netinv_lite` and the weights of this chapter: run this cell first
import base64, io, os, sys, tempfile, zipfile

BUNDLE = """
{bundle}
"""
folder = tempfile.mkdtemp(prefix="netinv_lite_")
zipfile.ZipFile(io.BytesIO(base64.b64decode(BUNDLE))).extractall(folder)
sys.path.insert(0, folder)
paths = [folder, os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)  # for `!python -m`
del BUNDLE
'''


def names_in(code: str) -> set[str]:
    """Every quoted word of `code`: the candidates for names of networks and results."""
    return set(re.findall(r"""["']([\w./-]+)["']""", code))


def networks(code: str, available: set[str]) -> set[str]:
    """The shipped networks that `code` loads; rather one too many than one too few."""
    if not re.search(r"load_(classifier|judge)|invert|benchmark", code):
        return set()
    base = {name.removesuffix("-robust").removesuffix("-judge") for name in available}
    named = names_in(code) & available | names_in(code) & base
    if not named or re.search(r"load_(classifier|judge)\(\s*\)", code):
        named.add("mnist")  # the default of both functions
    if "-robust" in re.sub(r"\w-robust", "", code):  # name + "-robust", f"{name}-robust"
        named |= {f"{name.split('-')[0]}-robust" for name in named}
    if "judge" in code:
        named |= {f"{name.split('-')[0]}-judge" for name in named}
    return named & available


def results(code: str, available: set[str]) -> set[str]:
    """The files of data/results that `code` names, by file name or without its suffix."""
    words = {Path(word).name for word in names_in(code)}
    return {name for name in available if name in words or name.split(".")[0] in words}


def needed(code: str, data: Path) -> list[Path]:
    """Paths of the shipped files for a chapter of the given code."""
    weights, tables = data / "weights", data / "results"
    stems = networks(code, {path.stem for path in weights.glob("*.safetensors")})
    names = results(code, {path.name for path in tables.glob("*") if path.is_file()})
    files = [weights / f"{stem}{end}" for stem in stems for end in (".safetensors", ".json")]
    return sorted(files + [tables / name for name in names])


def bundle(code: str, root: Path = ROOT) -> bytes:
    """A zip with the module's sources and the data for `code`, the same bytes every time."""
    package, buffer = root / "netinv_lite", io.BytesIO()
    content = {
        f"netinv_lite/{path.relative_to(package).as_posix()}": path
        for path in sorted(package.rglob("*"))
        if _is_source(path.relative_to(package)) and path.is_file()
    }
    for path in needed(code, root / "data"):
        content[f"netinv_lite/_data/{path.parent.name}/{path.name}"] = path
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in content.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def _is_source(path: Path) -> bool:
    return not {"_data", "__pycache__"} & set(path.parts) and path.suffix not in (
        ".pyc",
        ".partial",
    )


def standalone(notebook, root: Path = ROOT):
    """A copy of `notebook` whose first code cell unpacks everything it needs."""
    copy = nbformat.from_dict(notebook)
    code_cells = [i for i, cell in enumerate(copy.cells) if cell.cell_type == "code"]
    code = "\n".join(copy.cells[i].source for i in code_cells)
    encoded = base64.b64encode(bundle(code, root)).decode("ascii")
    lines = (encoded[i : i + LINE] for i in range(0, len(encoded), LINE))
    cell = nbformat.v4.new_code_cell(CELL.format(bundle="\n".join(lines)), id="netinv-lite-bundle")
    # Folded in Colab and in JupyterLab: nobody wants to scroll through base64.
    cell.metadata.update({"cellView": "form", "jupyter": {"source_hidden": True}})
    copy.cells.insert(code_cells[0] if code_cells else len(copy.cells), cell)
    return copy


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*", metavar="NN", help="default: every chapter")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "standalone")
    options = parser.parse_args(arguments)
    paths = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))
    known = {path.name[:2]: path for path in paths}
    wanted = [number.zfill(2) for number in options.chapters] or list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown or not wanted:
        parser.error(f"no chapter {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    options.out.mkdir(parents=True, exist_ok=True)
    for number in wanted:
        target = options.out / known[number].name
        nbformat.write(standalone(nbformat.read(known[number], as_version=4)), target)
        print(f"{target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

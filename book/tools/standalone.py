"""Write chapters as self-contained notebooks: the module and the files they open inside.

python book/tools/standalone.py [--out DIR] [NN ...]    without a number: every chapter

Each file can be uploaded to Colab, or opened anywhere that has torch, without an installation.
Which shipped files a chapter opens was recorded when `execute.py` ran it.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import zipfile
from pathlib import Path

import nbformat

import recorded
from setup_cell import ROOT, chapters

LINE = 2000  # characters of base64 on a line: one endless line stalls the editors
CELL = '''\
#@title The module `netinv_lite` and the files of this chapter: run this cell first
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


def bundle(files: list[Path], root: Path = ROOT) -> bytes:
    """A zip with the module's sources and `files` of data/, the same bytes every time."""
    package, buffer = root / "netinv_lite", io.BytesIO()
    content = {
        f"netinv_lite/{path.relative_to(package).as_posix()}": path
        for path in sorted(package.rglob("*"))
        if _is_source(path.relative_to(package)) and path.is_file()
    }
    for path in files:
        content[f"netinv_lite/_data/{path.relative_to(root / 'data').as_posix()}"] = path
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
    """A copy of `notebook` whose first code cell unpacks everything it needs.

    Raises ValueError where what it opens is not on record.
    """
    copy = nbformat.from_dict(notebook)
    code_cells = [i for i, cell in enumerate(copy.cells) if cell.cell_type == "code"]
    files = recorded.needed(notebook, root / "data")
    encoded = base64.b64encode(bundle(files, root)).decode("ascii")
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
    known = {path.name[:2]: path for path in chapters()}
    wanted = [number.zfill(2) for number in options.chapters] or list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown or not wanted:
        parser.error(f"no chapter {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    options.out.mkdir(parents=True, exist_ok=True)
    return 0 if all([write_copy(known[number], options.out) for number in wanted]) else 1


def write_copy(chapter: Path, folder: Path) -> bool:
    """Write the self-contained copy of `chapter` into `folder`, and say so; or say why not."""
    target = folder / chapter.name
    try:
        copy = standalone(nbformat.read(chapter, as_version=4))
    except ValueError as error:
        print(f"{chapter.name}: {error}", file=sys.stderr)
        return False
    nbformat.write(copy, target)
    print(f"{target} ({target.stat().st_size / 1e6:.1f} MB)")
    return True


if __name__ == "__main__":
    sys.exit(main())

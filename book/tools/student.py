"""Write a copy of the chapters without the solutions, to hand out in class.

    python book/tools/student.py handout/
    python book/tools/student.py handout/ book/04-label-conditioning.ipynb

Left out are all cells between `solution-start` and `solution-end`, every cell that is one
`{solution}` directive, and every cell with the tag `exercise-solution`. The stored outputs stay,
except of the stubs, which have none.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OPEN = re.compile(r"^[`:]{3,}\s*\{solution-start\}", re.MULTILINE)
_CLOSE = re.compile(r"^[`:]{3,}\s*\{solution-end\}", re.MULTILINE)
_WHOLE = re.compile(r"^[`:]{3,}\s*\{solution\}", re.MULTILINE)


def without_solutions(cells: list[dict]) -> list[dict]:
    """The cells that students get. Raises ValueError where a solution is not closed."""
    kept, inside = [], False
    for cell in cells:
        text = "".join(cell["source"])
        prose = cell["cell_type"] == "markdown"
        opens, closes = (prose and bool(p.search(text)) for p in (_OPEN, _CLOSE))
        whole = prose and bool(_WHOLE.search(text))
        tagged = "exercise-solution" in cell["metadata"].get("tags", [])
        inside = inside or opens
        if not (inside or whole or tagged):
            kept.append(cell)
        inside = inside and not closes
    if inside:
        raise ValueError("a solution-start has no solution-end")
    return kept


def write_copy(chapter: Path, folder: Path) -> Path:
    """One chapter without its solutions, under the same name in `folder`."""
    notebook = json.loads(chapter.read_text(encoding="utf-8"))
    notebook["cells"] = without_solutions(notebook["cells"])
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / chapter.name
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    copy.write_text(text, encoding="utf-8", newline="\n")
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the copies go (not the book's folder)")
    parser.add_argument("chapters", type=Path, nargs="*", help="notebooks; default: all chapters")
    args = parser.parse_args()
    if args.folder.resolve() == ROOT / "book":
        parser.error("the copies would replace the chapters: choose another folder")
    for chapter in args.chapters or sorted((ROOT / "book").glob("[0-9]*.ipynb")):
        try:
            print(write_copy(chapter, args.folder))
        except ValueError as error:
            sys.exit(f"{chapter}: {error}")


if __name__ == "__main__":
    main()

"""Print or change the repository's address, everywhere at once.

    python book/tools/address.py                                  # print it, and where it stands
    python book/tools/address.py https://github.com/owner/name    # change it

The address is written by hand in one place, `repository.url` of `_config.yml`. The set-up cell
and the Colab badge of each chapter, README, CITATION.cff, pyproject.toml and the pages of the
book follow.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from setup_cell import ROOT, repository_url

ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)")
PATTERNS = (
    "_config.yml",
    "README.md",
    "CITATION.cff",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "pyproject.toml",
    "environment.yml",
    "book/*.md",
    "book/*.ipynb",
)

# Contexts in which an address can only be this repository's. Each has one group: owner/name.
_OURS = re.compile(
    r"(?:git\+https://github\.com/|git clone https://github\.com/"
    r"|colab\.research\.google\.com/github/"
    r"|(?m:^repository-code: \"?https://github\.com/)|(?m:^Repository = \"https://github\.com/)"
    r"|(?m:^  url: https://github\.com/))"
    r"([\w.-]+/[\w.-]*[\w-])"
)


def places(root: Path = ROOT) -> list[Path]:
    """Every file that may carry the address."""
    return [path for pattern in PATTERNS for path in sorted(root.glob(pattern))]


def found(root: Path = ROOT) -> list[tuple[str, str]]:
    """(file, address) for each occurrence that must be this repository's."""
    return [
        (str(path.relative_to(root)), f"https://github.com/{slug}")
        for path in places(root)
        for slug in _OURS.findall(path.read_text(encoding="utf-8"))
    ]


def change(new: str, root: Path = ROOT) -> list[str]:
    """Write `new` in place of the present address; the names of the files that changed.

    Raises ValueError where `new` is not of the form https://github.com/owner/name: Colab's links
    and the book's launch buttons know no other.
    """
    new = new.rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(new):
        raise ValueError(f"{new!r} is not of the form https://github.com/owner/name.")
    old_slug, new_slug = (url.split("github.com/")[1] for url in (repository_url(root), new))
    # Only whole names: not the beginning of a longer one.
    anywhere = re.compile(rf"(github(?:\.com)?/){re.escape(old_slug)}(?![\w-])")
    changed = []
    for path in places(root):
        text = path.read_text(encoding="utf-8")
        rewritten = anywhere.sub(rf"\g<1>{new_slug}", text)
        rewritten = _OURS.sub(lambda m: m.group(0).replace(m.group(1), new_slug), rewritten)
        if rewritten != text:
            path.write_text(rewritten, encoding="utf-8", newline="\n")
            changed.append(str(path.relative_to(root)))
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="the new address, https://github.com/owner/name")
    url = parser.parse_args().url
    if url is None:
        print(repository_url())
        for name, address in found():
            print(f"  {name}: {address}")
        return
    try:
        changed = change(url)
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(f"changed {name}" for name in changed) or "Nothing to change.")


if __name__ == "__main__":
    main()

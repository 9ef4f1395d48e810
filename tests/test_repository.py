"""The files around the module agree with each other and stay small, readable and safe."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import address
import setup_cell
import student

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """The files under version control, and those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: what is tracked is not known")
    paths = [ROOT / name.decode() for name in names.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


# --- the address ----------------------------------------------------------------------------


def test_address_is_the_same_everywhere():
    url = setup_cell.repository_url()
    found = address.found()
    strays = [(name, seen) for name, seen in found if seen != url]
    assert not strays, f"not {url}; run: python book/tools/address.py {url}\n{strays}"
    needed = {"_config.yml", "README.md", "CITATION.cff", "pyproject.toml", "book/index.md"}
    needed |= {f"book/{path.name}" for path in CHAPTERS}
    missing = needed - {name.replace("\\", "/") for name, _ in found}
    assert not missing, f"the address is nowhere in {sorted(missing)}"


def test_one_command_changes_the_address(tmp_path):
    for path in address.places():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    before = address.found(tmp_path)
    address.change("https://github.com/someone-else/another.name/", tmp_path)
    after = address.found(tmp_path)
    assert [name for name, _ in after] == [name for name, _ in before]
    assert setup_cell.repository_url(tmp_path) == "https://github.com/someone-else/another.name"
    old = setup_cell.repository_url().split("github.com/")[1]
    for path in address.places(tmp_path):
        assert old not in path.read_text(encoding="utf-8"), path
    address.change(setup_cell.repository_url(), tmp_path)
    for path in address.places():
        assert (tmp_path / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize(
    "bad", ["github.com/a/b", "https://example.org/a/b", "https://github.com/a"]
)
def test_an_address_that_colab_cannot_open_is_refused(bad, tmp_path):
    with pytest.raises(ValueError, match="https://github.com/owner/name"):
        address.change(bad, tmp_path)


# --- the chapters ---------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_set_up_cell_is_the_same_in_every_chapter(chapter):
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "setup" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1, "exactly one cell has the tag setup"
    first = next(c for c in cells if c["cell_type"] == "code")
    assert first is tagged[0], "the set-up cell is the first code cell"
    assert "".join(first["source"]) == setup_cell.setup_cell()
    assert set(setup_cell.TAGS) <= set(first["metadata"]["tags"])


def test_table_of_contents_names_what_there_is():
    names = re.findall(r"(?:file|root): (\S+)", read("_toc.yml"))
    for name in names:
        assert any((ROOT / f"{name}{end}").is_file() for end in (".ipynb", ".md")), name
    listed = {name for name in names if re.match(r"book/\d\d-", name)}
    assert listed == {f"book/{path.stem}" for path in CHAPTERS}


def markdown(text: str, *tags: str) -> dict:
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)}, "source": [text]}


def test_copy_for_students_has_no_solution():
    cells = [
        markdown("A task"),
        markdown("```{solution-start} ex\n```"),
        {"cell_type": "code", "metadata": {}, "source": ["answer = 42"]},
        markdown("```{solution-end}\n```"),
        markdown("Between"),
        markdown(":::{solution} ex-2\n42\n:::"),
        {"cell_type": "code", "metadata": {"tags": ["exercise-solution"]}, "source": ["42"]},
        markdown("The end"),
    ]
    kept = ["".join(cell["source"]) for cell in student.without_solutions(cells)]
    assert kept == ["A task", "Between", "The end"]
    with pytest.raises(ValueError, match="solution-end"):
        student.without_solutions(cells[:3])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_can_be_handed_out(chapter, tmp_path):
    text = student.write_copy(chapter, tmp_path).read_text(encoding="utf-8")
    assert "{solution" not in text
    assert len(json.loads(text)["cells"]) < len(json.loads(chapter.read_text("utf-8"))["cells"])


# --- versions, requirements, licences ---------------------------------------------------------


def test_version_is_the_same_everywhere():
    patterns = {
        "pyproject.toml": r'^version = "([^"]+)"',
        "CITATION.cff": r"^version: (\S+)",
        "netinv_lite/__init__.py": r'^__version__ = "([^"]+)"',
        "CHANGELOG.md": r"^## (\S+)",
    }
    versions = {}
    for name, pattern in patterns.items():
        match = re.search(pattern, read(name), re.MULTILINE)
        versions[name] = match and match.group(1)
    assert None not in versions.values() and len(set(versions.values())) == 1, versions


def block(name: str) -> list[str]:
    """The strings of one list in pyproject.toml (Python 3.10 has no TOML reader)."""
    lines = re.search(rf"^{name} = \[\n(.*?)^\]", read("pyproject.toml"), re.MULTILINE | re.DOTALL)
    return re.findall(r'^\s+"(.+)",$', lines.group(1), re.MULTILINE)


def test_readers_get_lower_bounds_and_tools_are_pinned():
    readers = block("dependencies")
    assert readers and all(re.fullmatch(r"[\w-]+(>=[\d.]+)?", line) for line in readers), readers
    for extra in ("book", "test"):
        tools = block(extra)
        assert tools and all(re.match(r"[\w-]+==\d", line) for line in tools), tools


def test_readme_names_the_two_commands():
    commands = re.findall(r"^make (\w+)$", read("README.md"), re.MULTILINE)
    assert commands == ["book", "test"]
    targets = re.findall(r"^(\w+):", read("Makefile"), re.MULTILINE)
    assert set(commands) <= set(targets)


def test_readme_points_to_files_that_exist():
    links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", read("README.md"))
    assert "book/figures/hero.png" in links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_licences_cover_code_and_text():
    text = read("LICENSE")
    assert text.startswith("MIT License") and "CC BY 4.0" in text
    assert (ROOT / "book/assets/mathjax/LICENSE").is_file()


# --- the tree -------------------------------------------------------------------------------


def test_tree_is_small():
    sizes = {path.relative_to(ROOT): path.stat().st_size for path in tracked()}
    large = {str(name): size for name, size in sizes.items() if size > 2_000_000}
    assert not large, f"larger than 2 MB: {large}"
    assert sum(sizes.values()) < 60_000_000


def test_nothing_that_executes_code_is_loaded():
    modules = sorted((ROOT / "netinv_lite").rglob("*.py"))
    assert modules
    assert not [p.name for p in modules if "allow_pickle=True" in p.read_text(encoding="utf-8")]
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--ignore-noqa"]
    result = subprocess.run([*command, "netinv_lite"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "pickle",
        "cloudpickle",
        "joblib.load",
        "pandas.read_pickle",
        "torch.load",
    ],
)
def test_what_executes_code_would_be_found(name):
    module, _, function = name.partition(".")
    function = function or "anything"
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "netinv_lite/new.py", "-"]
    for call in f"from {module} import {function}", f"import {module} as m\nm.{function}('x')":
        result = subprocess.run(command, cwd=ROOT, input=call, capture_output=True, text=True)
        assert result.returncode == 1 and "TID251" in result.stdout, call


def test_every_shipped_network_has_its_provenance():
    for weights in sorted((ROOT / "data/weights").glob("*.safetensors")):
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        assert {"architecture", "data", "seed", "command", "sha256", "test_set"} <= card.keys()
    for weights in sorted((ROOT / "data/generators").glob("*.safetensors")):
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        assert {"architecture", "data", "seed", "command", "sha256", "quality"} <= card.keys()
    for inversion in sorted((ROOT / "data/inversions").glob("*.safetensors")):
        card = json.loads(inversion.with_suffix(".json").read_text(encoding="utf-8"))
        assert {"network", "preset", "seed", "command", "device", "torch"} <= card.keys()
        assert hashlib.sha256(inversion.read_bytes()).hexdigest() == card["sha256"]
    for inverse in sorted((ROOT / "data/inverses").glob("*.safetensors")):
        card = json.loads(inverse.with_suffix(".json").read_text(encoding="utf-8"))
        assert {"network", "trained_on", "seed", "command", "device", "torch"} <= card.keys()
        assert hashlib.sha256(inverse.read_bytes()).hexdigest() == card["sha256"]


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "."]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr

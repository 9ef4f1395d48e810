"""The page of errors holds every message of the module, read from its sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = ROOT / "book" / "_ext"
PAGE = (ROOT / "book" / "errors.md").read_text(encoding="utf-8")
sys.path.insert(0, str(EXTENSIONS))  # where Sphinx finds them and Python does not

error_messages = import_module("error_messages")
templates = import_module("message_templates")
advice = import_module("message_advice")
groups = import_module("message_groups")
errors = import_module("errors")


def messages(expression: str, **names: str) -> list[str]:
    """What an expression can say; `names` are the expressions that names stand for."""

    def lookup(name):
        return [ast.parse(names[name], mode="eval").body] if name in names else []

    tree = ast.parse(expression, mode="eval").body
    return [templates.text_of(message) for message in templates.messages_of(tree, lookup)]


# --- the whole module -----------------------------------------------------------------------


def counted() -> dict[str, int]:
    """File -> how many errors and warnings it makes, counted without its syntax tree."""
    statement = re.compile(r"^\s*raise (?:\w+\.)*([A-Z]\w*)\(|^\s*(warnings)\.warn\(", re.MULTILINE)
    counts = {}
    for path in sorted((ROOT / "netinv_lite").rglob("*.py")):
        found = statement.findall(path.read_text(encoding="utf-8"))
        kinds = [kind or other for kind, other in found]
        counts[path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")] = sum(
            kind not in error_messages.LEFT_OUT for kind in kinds
        )
    return {name.removesuffix(".__init__"): n for name, n in counts.items() if n}


def places(entries) -> set[tuple[str, int]]:
    return {(entry.module, entry.line) for entry in entries}


def test_every_error_of_the_module_is_collected():
    entries = error_messages.collected(errors.PACKAGE)
    by_module: dict[str, int] = {}
    for module, _ in places(entries):
        by_module[module] = by_module.get(module, 0) + 1
    assert by_module == counted()
    assert sum(by_module.values()) > 150


def test_every_message_stands_under_one_heading_of_the_page():
    entries = error_messages.collected(errors.PACKAGE)
    shown = [said for key in groups.KEYS for said in groups.gathered(entries, key)]
    assert places(entry for said in shown for entry in said.places) == places(entries)
    assert sorted(re.findall(r"^```\{messages\} (\S+)$", PAGE, re.MULTILINE)) == sorted(groups.KEYS)
    anchors = errors.anchors()
    assert len(set(anchors.values())) == len(anchors) == len(shown)


def test_every_message_of_the_page_says_what_to_do():
    entries = error_messages.collected(errors.PACKAGE)
    shown = [said for key in groups.KEYS for said in groups.gathered(entries, key)]
    silent = [s for s in shown if not s.advice and not advice.says_what_to_do(s.problem)]
    assert [templates.text_of(said.problem) for said in silent] == []


def test_symptoms_lead_to_messages():
    fragments = re.findall(r"\{message\}`[^<`]+<([^>`]+)>`", PAGE)
    assert len(fragments) >= 10
    found = [errors.find(" ".join(fragment.split())) for fragment in fragments]
    assert len(set(found)) == len(found)
    with pytest.raises(ValueError, match="no message of the module holds 'a purple elephant'"):
        errors.find("a purple elephant")


def test_the_module_is_read_and_not_imported():
    code = (
        "import sys; sys.path.insert(0, 'book/_ext'); import errors\n"
        "assert errors.anchors(); print('torch' in sys.modules, 'netinv_lite' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split() == ["False", "False"], run.stderr


# --- a module that nobody has heard of ------------------------------------------------------

SOURCES = {
    "__init__.py": "",
    "words.py": 'ADVICE = ("Feed it, " "then wait.")\nLEGS = 4\n',
    "zoo.py": """
import warnings
from .words import ADVICE, LEGS

def feed(animal, food, *, where="the cage"):
    hint = f" Try {food!r}." if food else ""
    if animal.legs != LEGS:
        raise ValueError(f"The {animal.name!r} has {len(animal.legs)} legs, not {LEGS}.{hint}")
    _check(animal)
    warnings.warn("It is " + "hungry. " + ADVICE, RuntimeWarning, stacklevel=2)

def _check(animal):
    if animal is None:
        raise TypeError("no animal" if animal is None else f"{animal} is no animal") from None
    raise
""",
}


@pytest.fixture
def zoo(tmp_path) -> tuple:
    """The messages of a made-up package."""
    package = tmp_path / "menagerie"
    package.mkdir()
    for name, source in SOURCES.items():
        (package / name).write_text(source, encoding="utf-8")
    return error_messages.collected(package)


def test_messages_of_a_new_module_appear(zoo):
    assert [(entry.kind, entry.text) for entry in zoo] == [
        ("ValueError", "The ‹name› has ‹number of legs› legs, not 4. Try ‹food›."),
        ("ValueError", "The ‹name› has ‹number of legs› legs, not 4."),
        ("RuntimeWarning", "It is hungry. Feed it, then wait."),
        ("TypeError", "no animal"),
        ("TypeError", "‹animal› is no animal"),
    ]
    assert {groups.group_of(entry) for entry in zoo} == {groups.OTHER}


def test_a_message_is_shown_with_its_placeholders_and_its_advice(zoo):
    first = groups.gathered(zoo, groups.OTHER)[0]
    shown = errors.item(first, errors.anchor_of(first.problem))
    term, body = shown.children
    assert term["ids"] == ["message-the-has-legs-not-4"]
    assert term.astext() == "The ‹name› has ‹number of legs› legs, not 4."
    slots = [node.astext() for node in term.children if node.tagname == "emphasis"]
    assert slots == ["‹name›", "‹number of legs›"]
    assert [p.astext() for p in body.children] == [
        "Try ‹food›.",
        "ValueError · feed in menagerie/zoo.py",
    ]


# --- reading an expression ------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression, names, expected",
    [
        ("'one ' 'two'", {}, ["one two"]),
        ("'lower ' + f'lr={self.config.lr:g}'", {}, ["lower lr=‹lr›"]),
        ("f'{tuple(x.shape)} of {x.dtype}'", {}, ["‹shape of x› of ‹type of x›"]),
        ("f'{type(model).__name__}'", {}, ["‹type of model›"]),
        ("f\"one of {', '.join(map(repr, known))}\"", {}, ["one of ‹known›"]),
        ("f'0..{K - 1}, {x.min():.3g}'", {}, ["0..‹K - 1›, ‹least of x›"]),
        ("f'at least {NEEDED}'", {"NEEDED": "50"}, ["at least 50"]),
        ("WHOLE", {"WHOLE": "'said elsewhere'"}, ["said elsewhere"]),
        ("'this way' if x else 'that way'", {}, ["this way", "that way"]),
        ("f'no.{hint}'", {"hint": "' Try y, then z.' if y else ''"}, ["no. Try y, then z.", "no."]),
        ("f'use {how}'", {"how": "'x' if x else 'y'"}, ["use ‹x or y›"]),
        ("said(x)", {}, ["‹said›"]),
        ("part", {"part": "f'{part}!'"}, ["‹part›"]),
    ],
)
def test_expressions_become_messages(expression, names, expected):
    assert messages(expression, **names) == expected


@pytest.mark.parametrize(
    "problem, what_to_do",
    [
        ("The loss is not finite at step 3:", "lower lr=0.1."),
        ("x.pt belongs to another run (other seed);", "remove it or name another checkpoint."),
        ("The logits carry no gradient.", "Leave no_grad, detach (or argmax) out: it cuts them."),
        ("per_class=0:", "at least 1 is needed."),
        ("start=2:", "a fraction of the input range, 0 to 1, or None."),
        ("A tensor of images (N,C,H,W) is needed, not a list.", ""),
        ("x_train: an ImageData is needed.", "Make one of tensors."),
        ("The images hold NaN or infinity.", ""),
        ("There is no key (try: another).", ""),
    ],
)
def test_messages_are_divided_into_problem_and_advice(problem, what_to_do):
    parts = advice.split((f"{problem} {what_to_do}".strip(),))
    assert tuple(map(templates.text_of, parts)) == (problem, what_to_do)


def test_a_message_without_advice_is_told_apart():
    assert not advice.says_what_to_do(("The images hold NaN or infinity.",))
    assert advice.says_what_to_do(("Say which network: a name, or --model.",))
    assert advice.says_what_to_do(("At least two rows are needed, not one.",))
    assert advice.says_what_to_do(("The weights are NaN: load them again.",))


# --- through what it comes ------------------------------------------------------------------

CALLS = {
    "__init__.py": "from .keeper import Keeper\n",
    "__init__.pyi": "from .rooms.food import feed as feed\nfrom .rooms import food as meals\n",
    "keeper.py": """
from .rooms.food import feed as give
from . import meals

class Keeper:
    def __init__(self):
        self._begin()

    def _begin(self):
        give("hay")

    def evening(self):
        return meals.deliver()
""",
    "rooms/__init__.py": "",
    "rooms/food.py": """
def feed(food):
    _check(food)

def deliver():
    _check("all")

def _check(food):
    if not food:
        raise ValueError("no food")
""",
}


@pytest.fixture
def park(tmp_path) -> Path:
    """A made-up package with rooms and lazy names."""
    for name, source in CALLS.items():
        path = tmp_path / "park" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path / "park"


def test_names_of_readers_are_found_where_they_are_defined(park):
    callers = errors.callers(park)
    assert callers.place("park.Keeper") == ("park.keeper", "Keeper")
    assert callers.place("park.feed") == ("park.rooms.food", "feed")
    assert callers.place("park.meals.deliver") == ("park.rooms.food", "deliver")
    assert callers.place("park.nothing") is None


def test_a_message_names_the_nearest_documented_objects(park, monkeypatch):
    entry = error_messages.collected(park)[0]
    found = {}
    for page in (("park.feed", "park.Keeper"), ("park.Keeper",), ("park.meals.deliver",), ()):
        monkeypatch.setattr(errors, "listed", lambda page=page: list(page))
        errors.on_the_page.cache_clear()
        found[page] = errors.documented_callers(entry, park)
    errors.on_the_page.cache_clear()
    assert [*found.values()] == [
        ["park.feed", "park.Keeper.evening"],
        ["park.Keeper", "park.Keeper.evening"],
        ["park.meals.deliver"],
        [],
    ]


def test_messages_of_the_core_name_public_functions():
    entries = error_messages.collected(errors.PACKAGE)
    entry = next(entry for entry in entries if "returns one logit" in entry.text)
    names = errors.documented_callers(entry)
    assert names[0] == "netinv_lite.invert" and len(names) > 5
    found = [errors.callers(errors.PACKAGE).place(name) for name in errors.listed()]
    assert found.count(None) <= 1, "a name of the API page that is not where it says"


# --- what is caught and said again ----------------------------------------------------------

CAUGHT = """
def fetch(path):
    try:
        if not path:
            raise FileNotFoundError("it is nowhere")
        return _parsed(path)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"Cannot fetch {path} ({type(error).__name__}: {error}). Go on.")

def _parsed(text):
    if text == "deep":
        return _parsed(text[1:])
    if text == "no":
        raise TypeError("no text")
    raise ValueError("bad" if text else "empty")

def _alone():
    raise ValueError("alone")
"""


def test_what_is_caught_is_shown_as_a_reader_meets_it(tmp_path):
    package = tmp_path / "kennel"
    package.mkdir()
    (package / "dog.py").write_text(CAUGHT, encoding="utf-8")
    whole = "Cannot fetch ‹path› ({}). Go on."
    assert [(entry.kind, entry.text) for entry in error_messages.collected(package)] == [
        ("RuntimeError", whole.format("FileNotFoundError: it is nowhere")),
        ("RuntimeError", whole.format("‹type of error›: ‹error›")),
        ("TypeError", "no text"),
        ("RuntimeError", whole.format("ValueError: bad")),
        ("RuntimeError", whole.format("ValueError: empty")),
        ("ValueError", "alone"),
    ]


def test_private_functions_of_one_name_are_told_apart(tmp_path):
    package = tmp_path / "twins"
    package.mkdir()
    for name in ("left", "right"):
        source = f"def _say(what):\n    raise ValueError(f'{{what}}!')\n\n_say('{name}')\n"
        (package / f"{name}.py").write_text(source, encoding="utf-8")
    assert [entry.text for entry in error_messages.collected(package)] == ["left!", "right!"]

"""Under which heading of the page a message stands: by what a reader is doing when it comes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from error_messages import Entry
from message_advice import split
from message_templates import Message, text_of

# The first line that fits counts: the key of a heading, the module (without the package's name),
# and words of the message where the module alone does not tell. Everything else is "other".
RULES = [
    ("images", r"_core\.arrays|data|plot\.asked", r""),
    ("images", r"_core\.validation", r"\b(?:[Ii]mages|[Ll]abels|input_range)\b"),
    ("files", r"_core\.(?:serialization|entries|checkpoint)", r""),
    ("files", r"(?!cli)[\w.]+", r"belongs to another run|\.safetensors"),
    ("network", r"_core\.(?:boundary|hooks|device|freezing)", r""),
    ("network", r"models\.(?:architectures|external)", r""),
    ("settings", r"_core\.validation|presets|conditioning|losses|generator|ensemble", r""),
    ("inverting", r"inversion|_core\.\w+", r""),
    ("measuring", r"metrics(?:\.\w+)?", r""),
    ("figures", r"plot(?:\.\w+)?", r""),
    ("training", r"models(?:\.\w+)?", r""),
    ("baselines", r"baselines(?:\.\w+)?", r""),
    ("direct", r"direct(?:\.\w+)?", r""),
    ("pages", r"live(?:\.\w+)?", r""),
    ("applications", r"applications(?:\.\w+)?", r""),
    ("studies", r"studies(?:\.\w+)?", r""),
    ("command-line", r"cli(?:\.\w+)?", r""),
]
OTHER = "other"
KEYS = [*dict.fromkeys(key for key, _, _ in RULES), OTHER]


def group_of(entry: Entry) -> str:
    """The key of the heading of an entry, "other" for a module that no rule names."""
    module = entry.module.partition(".")[2]
    for key, modules, words in RULES:
        if (not modules or re.fullmatch(modules, module)) and re.search(words, entry.text):
            return key
    return OTHER


@dataclass
class Said:
    """One message as the page shows it: with all that can follow it, and all places."""

    problem: Message
    advice: list[Message] = field(default_factory=list)
    places: list[Entry] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(entry.kind for entry in self.places))

    def add(self, entry: Entry, advice: Message) -> None:
        if entry.line not in [e.line for e in self.places if e.module == entry.module]:
            self.places.append(entry)
        texts = [text_of(known) for known in self.advice]
        if not advice or any(text.endswith(text_of(advice)) for text in texts):
            return
        # What only adds a hint in front takes the place of what has none.
        self.advice = [m for m in self.advice if not text_of(advice).endswith(text_of(m))]
        self.advice.append(advice)


def gathered(entries: Iterable[Entry], key: str) -> list[Said]:
    """The messages under one heading, those that say the same problem as one."""
    found: dict[str, Said] = {}
    for entry in entries:
        if group_of(entry) == key:
            problem, advice = split(entry.message)
            found.setdefault(text_of(problem), Said(problem)).add(entry, advice)
    return list(found.values())


def anchor_of(problem: Message) -> str:
    """The name of a message in the address of the page: its first words."""
    words = re.findall(r"[a-z0-9]+", " ".join(p for p in problem if isinstance(p, str)).lower())
    return "-".join(["message", *words[:9]])

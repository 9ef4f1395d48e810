"""`.. presets:: netinv_lite.PRESETS`: lines `name: text`, each followed by the preset's settings.

An error, and with it no book, where the names are not those of the presets.
"""

from __future__ import annotations

import re

from api import brief, escaped, resolve
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class Presets(SphinxDirective):
    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        presets = resolve(self.arguments[0])
        entries = re.split(r"\n(?=\S)", "\n".join(self.content))
        said = dict(" ".join(entry.split()).split(": ", 1) for entry in entries)
        if list(said) != list(presets):
            raise self.error(f"the presets are {list(presets)}, not {list(said)}")
        lines = []
        for name, text in said.items():
            settings = " and ".join(f"``{brief(part)}``" for part in presets[name])
            lines += [f'``"{name}"``', f"    {escaped(text)}", "", f"    {settings}"]
        parent = nodes.Element()
        self.state.nested_parse(StringList(lines, source="presets"), self.content_offset, parent)
        return parent.children


def setup(app):
    app.add_directive("presets", Presets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

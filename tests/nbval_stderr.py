"""What nbval makes of stderr: a warning about a chapter's own lines fails; the rest is reported.

A library may remark on its surroundings (a font, a slow machine) where nothing of the chapter is
wrong, and nbval would not even say what the remark was.
"""

import warnings

from nbval.plugin import IPyNbCell

OWN = "/ipykernel_"  # in the place of a warning that a cell's own line gave rise to
_compare = IPyNbCell.compare_outputs


def compare_outputs(self, test, ref, skip_compare=None):
    remarks = [o for o in test if o.get("name") == "stderr"]
    if not any(OWN in o["text"] for o in remarks):
        for remark in remarks:
            warnings.warn(f"stderr of {self.name}: {remark['text']}", stacklevel=1)
        test = [o for o in test if o not in remarks]
    same = _compare(self, test, ref, skip_compare)
    if not same:
        self.comparison_traceback += [o["text"] for o in remarks]
    return same


IPyNbCell.compare_outputs = compare_outputs

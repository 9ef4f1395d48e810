"""nbval names an output that is not stored; with this plugin it says what stderr held, too."""

from nbval.plugin import IPyNbCell

_compare = IPyNbCell.compare_outputs


def compare_outputs(self, test, ref, skip_compare=None):
    same = _compare(self, test, ref, skip_compare)
    if not same:
        self.comparison_traceback += [o["text"] for o in test if o.get("name") == "stderr"]
    return same


IPyNbCell.compare_outputs = compare_outputs

"""Live figures: a network in a web page, inverted there by the reader, without a kernel."""

from .notebook import Widget, widget
from .page import to_page

__all__ = ["Widget", "to_page", "widget"]

"""Live figures: a network in a web page, inverted there by the reader, without a kernel."""

from .page import to_page

__all__ = ["to_page"]

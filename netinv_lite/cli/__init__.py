"""The command line: what `python -m netinv_lite` does."""

"""The command line: python -m netinv_lite invert, direct, fit, experiment, weights."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())

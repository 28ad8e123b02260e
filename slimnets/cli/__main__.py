"""`python -m slimnets.cli` is the `slimnets` program."""

import sys

from slimnets.cli import main

sys.exit(main())

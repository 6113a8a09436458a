"""``python -m phaseline.cli``."""

from __future__ import annotations

import sys

from phaseline.cli import main

sys.exit(main())

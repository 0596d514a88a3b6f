"""Measure how fast the book is: training, data, building. ``python -m bench`` writes the results down."""

import sys
from pathlib import Path

# Measurements and tests know the frameworks by the same adapters: tests/contract/adapters.py.
sys.path.append(str(Path(__file__).parent.parent / "tests"))

"""What the tests of recipes share."""

from __future__ import annotations

GOOD = """\
format = 1
name = "good"

[schedule]
kind = "steps"
milestones = [30, 60]
total = 90
"""

"""What judges the work and makes no book: defects put in by hand, faults, chapters that are run, the audit."""

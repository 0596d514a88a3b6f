"""The steps around d2lbook: compile, execute with a cache, record full runs, render."""

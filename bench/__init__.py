"""Measure how fast the book is: training, data, building. ``python -m bench`` writes the results down."""

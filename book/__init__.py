"""The book, around d2lbook: from a source to a page, each step in the module of its name.

Source -> Compiled -> Executed -> Safe -> Page
"""

"""The book, around d2lbook: Source -> Compiled -> Executed -> Safe -> Page, see `book.section`."""

"""What people have to mend."""


class BookError(Exception):
    """Something in the sources or the environment that the user has to mend. The message says what and where."""

"""The error of all data sets."""


class DataError(RuntimeError):
    """The data set could not be had whole. The message lists every place that was tried."""

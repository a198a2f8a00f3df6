"""streamvsr: real-world video super-resolution as a stream."""

__version__ = "0.1.0"

"""The command line: words in, exit code out."""

from streamvsr.cli.app import main

__all__ = ["main"]

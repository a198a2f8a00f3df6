"""``python -m streamvsr``"""

import sys

from streamvsr.cli import program

if __name__ == "__main__":
    sys.exit(program())

"""``python -m streamvsr``"""

import sys

from streamvsr.cli import main

if __name__ == "__main__":
    sys.exit(main())

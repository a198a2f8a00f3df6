"""``streamvsr models``: the models, whether each could run here, and where its weights can be had."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from streamvsr.cli.talk import encodable
from streamvsr.errors import UsageError


def models_command(words: Sequence[str]) -> int:
    """Print the list on standard output; the exit code. Raises ``UsageError``."""
    if any(word in ("-h", "--help") for word in words):
        print("usage: streamvsr models\n\nLists the models, which of them could run here, and where to get weights.")
        return 0
    if words:
        raise UsageError(f"streamvsr models takes no arguments: {words[0]}")
    from streamvsr.models import registry

    print(encodable(registry.listing(), sys.stdout))
    return 0

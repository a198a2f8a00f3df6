"""``streamvsr filters [NAME]``: what may stand in the chain of ``-vf``, and what each filter does."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from streamvsr.cli.console import encodable
from streamvsr.cli.help import WIDTH
from streamvsr.errors import UsageError

_USAGE = """\
usage: streamvsr filters [NAME]

Lists the filters that may stand in -vf, or explains one of them."""
_COLUMN = 22


def filters_command(words: Sequence[str]) -> int:
    """Print the list, or the explanation of one filter, on standard output; the exit code. Raises ``UsageError``."""
    if any(word in ("-h", "--help") for word in words):
        print(_USAGE)
        return 0
    if len(words) > 1:
        raise UsageError(f"streamvsr filters takes one name: {words[1]}")
    print(encodable(explanation(words[0]) if words else listing(), sys.stdout))
    return 0


def listing() -> str:
    """Every filter with a line on what it does: ours, FFmpeg's, and what stands in for those that are missing."""
    from streamvsr.filters.libav import info as libav_info
    from streamvsr.filters.registry import ENTRIES, STAND_INS

    lines = ["streamvsr's own:"]
    lines += [_row(entry.written, entry.summary) for entry in ENTRIES.values()]
    both = [entry.name for entry in ENTRIES.values() if entry.prefixed]
    lines += [
        "",
        *textwrap.wrap(
            f"{' and '.join(both)} without a prefix are FFmpeg's, as in ffmpeg. cv.NAME is always streamvsr's filter,"
            " av.NAME always FFmpeg's. 'streamvsr filters NAME' explains one; a * marks those that take enable='...'.",
            WIDTH,
        ),
        "",
        "FFmpeg's, in the version that PyAV brings:",
    ]
    for name in libav_info.names():
        about = libav_info.info(name)
        lines.append(_row(name + (" *" if about.timeline else ""), about.description))
    lines += ["", "FFmpeg's filters that PyAV's builds leave out, and what does nearly the same:"]
    lines += [_row(name, instead) for name, instead in STAND_INS.items() if not libav_info.has(name)]
    return "\n".join(lines)


def explanation(name: str) -> str:
    """What one filter does, with its options. Raises ``UsageError`` where there is none of that name."""
    from streamvsr.filters.libav import info as libav_info
    from streamvsr.filters.libav.check import bare_name, unknown_filter
    from streamvsr.filters.registry import find_entry

    entry = find_entry(name)
    if entry is not None:
        lines = [f"{entry.written}: {entry.summary}", "", entry.explanation(), "", "options, in this order:"]
        for param in entry.params:
            default = {None: "", True: " (1)", False: " (0)"}.get(param.default, f" ({param.default})")
            wants = "" if param.kind == "text" else f"; {param.wants}"
            lines.append(_row(f"{param.name}{default}", param.help + wants))
        return "\n".join(lines if entry.params else lines[:-2])
    bare = bare_name(name)
    if not libav_info.has(bare):
        raise UsageError(unknown_filter(name))
    about = libav_info.info(bare)
    lines = [f"{bare} (FFmpeg's): {about.description}"]
    if find_entry(f"cv.{bare}") is not None:
        lines.append(f"streamvsr's own of that name is cv.{bare}.")
    if not about.in_a_chain:
        lines.append("It cannot stand in a chain: it has not just one video input and one video output.")
    lines.append("It takes enable='...'." if about.timeline else "It takes no enable='...'.")
    if about.options is None:
        lines.append(f"Its options are not known here; https://ffmpeg.org/ffmpeg-filters.html#{bare} explains them.")
    elif about.options:
        lines += ["", "options, in this order:"]
        for option in about.options:
            names = ", ".join((option.name, *option.aliases))
            lines.append(_row(names, f"{option.help}; {option.wants}" if option.help else option.wants))
        lines.append(f"https://ffmpeg.org/ffmpeg-filters.html#{bare} explains them.")
    return "\n".join(lines)


def _row(left: str, right: str) -> str:
    return textwrap.fill(
        right, WIDTH, initial_indent=f"  {left:<{_COLUMN}}", subsequent_indent=" " * (_COLUMN + 4),
        break_long_words=False,
    )  # fmt: skip

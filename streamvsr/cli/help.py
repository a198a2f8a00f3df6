"""``--help``, made from the options' own metadata."""

from __future__ import annotations

import textwrap

from streamvsr.cli.catalogue import COMMANDS, RUN_GROUPS
from streamvsr.cli.texts import Translate, same
from streamvsr.options import Option, options_of

WIDTH = 79
_COLUMN = 24

RUN_USAGE = """\
usage: streamvsr [options] INPUT [options] OUTPUT
       streamvsr [options] -i INPUT [options] OUTPUT
       streamvsr [options] INPUTS... [options] -o FOLDER
       streamvsr CONFIG.py CHECKPOINT.pth INPUT OUTPUT [--max_seq_len N]"""

USAGE = f"""\
{RUN_USAGE}
       streamvsr look | preview | models | filters | compare | ab | split
                 | merge | metrics | evaluate | train | completion | ui
                 | submit"""

EXAMPLES = """\
examples:
  streamvsr in.mp4 out.mp4
  streamvsr in.mkv -c:v libx265 -crf 20 -preset slow out.mkv
  streamvsr -ss 60 -t 10 in.mp4 -s 1920x1080 sample.mp4
  streamvsr frames/ --model realbasicvsr --device cuda out/
  ffmpeg -i in.avi -c copy -f nut - | streamvsr - -f nut - | ffplay -"""

PATHS = """\
INPUT and OUTPUT are a file, a folder of pictures, a pattern (%05d.png), a URL,
or - for a pipe. Options before the input belong to it, later ones to the
output, as in ffmpeg; options with two dashes may stand anywhere. Audio,
subtitles, chapters, tags and every time stamp are kept."""

MORE = {"options of the output": "Any other option goes to the encoder or the muxer."}


def short_usage(translate: Translate = same) -> str:
    return f"{USAGE}\n\n{translate('streamvsr --help explains the options.')}"


def full_help(translate: Translate = same) -> str:
    """The whole text, at most ``WIDTH`` columns wide."""
    parts = [
        f"{translate('streamvsr makes low-quality video four times larger and clean.')}\n\n"
        f"{RUN_USAGE}\n       streamvsr COMMAND ...",
        translate(PATHS),
        EXAMPLES.replace("examples:", translate("examples:")),
        _commands(translate),
        *(_group(title, group, MORE.get(title, ""), translate) for title, group in RUN_GROUPS.items()),
        translate("exit codes: 0 done, 1 failed, 2 usage, 130 interrupted, 141 reader left"),
    ]
    return "\n\n".join(parts)


def _commands(translate: Translate) -> str:
    lines = [f"  {name:<{_COLUMN}}{translate(about.summary)}" for name, about in COMMANDS.items()]
    return "\n".join([translate("commands, each with a --help of its own:"), *lines])


def _group(title: str, group: type, more: str, translate: Translate) -> str:
    options = [option for _, option in options_of(group)]
    lines = [f"{translate(title)}:", *(_explained(option, translate) for option in options if not option.as_ffmpeg)]
    named = [_call(option) for option in options if option.as_ffmpeg]
    if named:
        # Non-breaking while wrapping: an option stays on one line with its value.
        calls = ", ".join(call.replace(" ", chr(0)) for call in named)
        text = f"{translate('As in ffmpeg')}: {calls}. {translate(more)}".strip()
        wrapped = textwrap.fill(
            text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        lines.append(wrapped.replace(chr(0), " "))
    return "\n".join(lines)


def _call(option: Option) -> str:
    if option.kind == "yes_no":
        return " | ".join(option.flags)
    return f"{option.flags[0]} {option.metavar}".rstrip()


def _explained(option: Option, translate: Translate) -> str:
    return f"  {_call(option) + ' ':<{_COLUMN}}{translate(option.help)}"

"""``--help``: complete, short, and there at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamvsr.cli.app import COMMANDS
from streamvsr.cli.help import WIDTH, full_help, short_usage
from streamvsr.cli.parser import parse
from streamvsr.cli.tokens import FLAGS
from streamvsr.config import GROUPS, CallOptions
from streamvsr.options import options_of

pytestmark = pytest.mark.io
ROOT = Path(__file__).resolve().parent.parent


def test_every_option_is_there() -> None:
    words = set(full_help().replace(",", " ").replace(".", " ").split())
    for cls in (*GROUPS.values(), CallOptions):
        for name, face in options_of(cls):
            assert face.flags[0] in words, name


def test_it_is_about_two_screens() -> None:
    lines = full_help().splitlines()
    assert len(lines) <= 112
    assert max(map(len, lines)) <= WIDTH


def test_texts_are_ascii_for_every_console() -> None:
    assert (full_help() + short_usage()).isascii()


def test_the_examples_are_understood() -> None:
    lines = [line.strip() for line in full_help().partition("examples:")[2].partition("\n\n")[0].splitlines()]
    commands = [part.split()[1:] for line in lines for part in line.split(" | ") if part.startswith("streamvsr ")]
    assert len(commands) >= 5
    for words in commands:
        assert parse(words).config is not None, words


def test_flags_are_spelled_as_the_grammar_says() -> None:
    for flag, groups in FLAGS.items():
        ours = set(groups) <= {"model", "run", "call", "live"} and flag not in ("-nostdin", "-o")
        ours |= flag == "--output-timeout"  # what ffmpeg has no word for
        assert flag.startswith("--") == ours, flag


def test_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; from streamvsr.cli import main; assert main(['--help']) == 0; "
        "print(sorted({'torch', 'av', 'rich', 'cv2', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_is_there() -> None:
    words = set(short_usage().replace("|", " ").split())
    assert set(COMMANDS) <= words
    section = full_help().partition("\ncommands, ")[2].partition("\n\n")[0].splitlines()[1:]
    assert {line.split()[0]: len(line.split()) > 2 for line in section} == dict.fromkeys(COMMANDS, True)

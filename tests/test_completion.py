"""Shell completion, asked in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from streamvsr.cli import app, main
from streamvsr.cli.catalogue import COMMANDS, choices, run_options
from streamvsr.cli.completion_command import SHELLS
from streamvsr.models import registry
from tests.conftest import missing

pytestmark = pytest.mark.io

_BASH = """
source ./script
COMP_LINE="$1" COMP_POINT=${#1}
_streamvsr
printf '%s\\n' "${COMPREPLY[@]}"
"""
_FISH = 'source ./script; complete -C "$argv[1]" | string replace -r "\\t.*" ""'
# Zsh completes in its editor alone: it is given a terminal and a tab, and writes down what it would offer. The line is
# taken back then and not before: where the editor has not begun yet, the terminal would rub it out.
_ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
send() { zpty -w z "$1" }
send "PS1=; unsetopt beep; autoload -U compinit; compinit -D -u; source ./script"
send "compadd() { if [[ \\${@[1,(i)(-|--)]} == *-(O|A|D)* ]]; then builtin compadd \\"\\$@\\"; return; fi; \\
local -a hits; builtin compadd -O hits \\"\\$@\\"; print -l -- HIT\\${^hits} >>hits; builtin compadd \\"\\$@\\" }"
send "touch ready"
repeat 400 { [[ -e ready ]] && break; sleep 0.05 }
zpty -w -n z "$1"$'\\t'
repeat 400 { [[ -s hits ]] && break; sleep 0.05 }
zpty -w z $'\\C-u'
send "touch done"
repeat 400 { [[ -e done ]] && break; sleep 0.05 }
zpty -d z
[[ -e hits ]] && sed -n 's/^HIT//p' hits
"""


def ask(shell: str, line: str, folder: Path) -> set[str]:
    """What the shell would offer behind ``line``."""
    program = shutil.which(shell)
    if program is None:
        missing(f"the shell {shell}")
    assert program is not None
    (folder / "script").write_text(SHELLS[shell](), encoding="utf-8")
    code = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}[shell]
    words = [program, *(["-f"] if shell == "zsh" else []), "-c", code, *([] if shell == "fish" else [shell]), line]
    environment = {**os.environ, "HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stderr == "", done.stderr
    return {found.replace("\\", "") for found in done.stdout.split()}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("streamvsr compa", {"compare"}),
        ("streamvsr in.mp4 --prec", {"--precision"}),
        ("streamvsr in.mp4 --precision ", {"auto", "fp32", "fp16", "bf16"}),
        ("streamvsr --model basicvsr_", {"basicvsr_pp"}),
        ("streamvsr --preset arch", {"archive"}),
        ("streamvsr compare a.mp4 --scale-f", {"--scale-filter"}),
        ("streamvsr compare --mode s", {"side-by-side", "stacked", "split"}),
        ("streamvsr models v", {"verify"}),
    ],
)
def test_what_a_shell_offers(shell: str, line: str, offered: set[str], tmp_path: Path) -> None:
    found = ask(shell, line, tmp_path)
    assert offered <= found
    start = line.rpartition(" ")[2]
    assert {one for one in found if one.startswith(start)} - {"script"} == found - {"script"}
    if start not in ("", "v", "basicvsr_"):
        assert found == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_options_with_a_colon(shell: str, tmp_path: Path) -> None:
    found = ask(shell, "streamvsr in.mp4 -c:", tmp_path) - {"-c:script"}
    assert found == ({"v", "a", "s"} if shell == "bash" else {"-c:v", "-c:a", "-c:s"})


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", ["streamvsr hol", "streamvsr --model rt hol"])
def test_files(shell: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.mkv").touch()
    if shell == "bash" and "--model" in line:
        assert ask(shell, line, tmp_path) == set()  # where nothing is offered, bash itself offers files
    else:
        assert ask(shell, line, tmp_path) == {"holiday.mkv"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_is_offered(shell: str) -> None:
    text = SHELLS[shell]()
    for face in [*run_options(), *(face for about in COMMANDS.values() for face in about.own())]:
        for flag in face.flags:
            spelled = {"bash": flag, "zsh": flag.replace(":", "\\:"), "fish": f" {flag.lstrip('-')} "}[shell]
            assert spelled in text, flag


def test_the_catalogue_has_every_command() -> None:
    assert set(COMMANDS) == set(app.COMMANDS)


def test_models_and_presets_are_those_of_the_lists() -> None:
    faces = {face.flags[0]: face for face in run_options()}
    assert {"auto", *registry.ENTRIES, "rt-real"} <= set(choices(faces["--model"]))
    assert {"archive", "live", "preview"} <= set(choices(faces["--preset"]))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == SHELLS["bash"]() + "\n"
    assert main(["completion", "--help"]) == 0
    assert main(["completion"]) == 2
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err

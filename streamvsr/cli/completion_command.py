"""``streamvsr completion bash|zsh|fish``: what lets a shell complete commands, options and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from streamvsr.cli.catalogue import COMMANDS, choices, fetchable_names, run_options, takes_a_path, takes_a_value
from streamvsr.cli.parser import asks_for_help
from streamvsr.errors import UsageError
from streamvsr.options import Option

USAGE = """\
usage: streamvsr completion bash|zsh|fish

Prints the completion of commands, options and values for a shell. To have it
in every new shell:

  bash  echo 'eval "$(streamvsr completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(streamvsr completion zsh)"' >> ~/.zshrc   (behind compinit)
  fish  streamvsr completion fish > ~/.config/fish/completions/streamvsr.fish"""


def completion_command(words: Sequence[str]) -> int:
    """Print the script; the exit code. Raises ``UsageError``."""
    if not words or asks_for_help(words):
        print(USAGE)
        return 0 if words else 2
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError(f"completion knows {', '.join(SHELLS)}: streamvsr completion bash")
    print(SHELLS[words[0]]())
    return 0


def _options(command: str) -> list[Option]:
    """The options of a command, of a run where ``command`` is empty; those it reads by itself among them."""
    if not command:
        return run_options()
    about = COMMANDS[command]
    own = about.own()
    taken = {flag for face in own for flag in face.flags}
    shared = [face for face in run_options() if about.of_a_run and not taken.intersection(face.flags)]
    return [*own, *(Option((flag,), "", "flag") for flag in about.switches), *shared]


_HELP = Option(("--help",), "explain the options", "flag")
_VERSION = Option(("--version",), "print the version", "flag")


def _all(command: str) -> list[Option]:
    return [*_options(command), _HELP, *([] if command else [_VERSION])]


_BASH = """\
# bash completion of streamvsr; made by `streamvsr completion bash`.
_streamvsr() {
    # Bash cuts words at colons, and -c:v is one word: cut the line at blanks instead.
    local line="${COMP_LINE:0:COMP_POINT}" cur prev command="" IFS=$' \\t\\n'
    local -a words
    read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    local count=${#words[@]}
    cur="${words[count-1]}" prev="${words[count-2]}"
    COMPREPLY=()
    if (( count > 2 )); then
        case "${words[1]}" in @COMMANDS@) command="${words[1]}" ;; esac
    fi
    local options="" first="" values=""
    case "$command" in
@OPTIONS@
    esac
    case "$command $prev" in
@VALUES@
    esac
    if [[ -n "$values" ]]; then
        # Without any, file names are offered.
        [[ "$values" == "<path>" ]] || COMPREPLY=($(compgen -W "$values" -- "$cur"))
    elif [[ "$cur" == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n "$first" ]] && { (( count == 2 )) || [[ "$command $prev" == "$command $command" ]]; }; then
        COMPREPLY=($(compgen -W "$first" -- "$cur"))
        compopt -o filenames 2>/dev/null
        local name
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$cur")
    fi
    # Bash replaces what stands behind the last colon.
    if [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
        local head="${cur%"${cur##*:}"}" i
        for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$head"}"; done
    fi
}
complete -o bashdefault -o default -F _streamvsr streamvsr"""


def bash() -> str:
    options, values = [], []
    for command in ("", *COMMANDS):
        faces = _all(command)
        first = " ".join(COMMANDS[command].words if command else COMMANDS)
        flags = " ".join(flag for face in faces for flag in face.flags)
        options.append(f"        {shlex.quote(command)}) options={shlex.quote(flags)} first={shlex.quote(first)} ;;")
        for face in faces:
            if not takes_a_value(face):
                continue
            # A value that nothing is known of: a blank, so that nothing but file names is offered.
            offered = " ".join(choices(face)) or "<path>"
            cases = "|".join(f'"{command} {flag}"' for flag in face.flags)
            values.append(f"        {cases}) values={shlex.quote(offered)} ;;")
    values.append(f'        "models fetch") values={shlex.quote(" ".join(fetchable_names()))} ;;')
    return _filled(_BASH, COMMANDS="|".join(COMMANDS), OPTIONS="\n".join(options), VALUES="\n".join(values))


_ZSH = """\
#compdef streamvsr
# zsh completion of streamvsr; made by `streamvsr completion zsh`.
_streamvsr() {
    local -a options commands
    commands=(
@COMMANDS@
    )
    if (( CURRENT == 2 )) && [[ "$words[2]" != -* ]]; then
        _describe -t commands command commands
        _files
        return
    fi
    case "$words[2]" in
@CASES@
    esac
    _arguments -S $options
}
if [[ "$funcstack[1]" == _streamvsr ]]; then
    _streamvsr "$@"
else
    compdef _streamvsr streamvsr
fi"""


def zsh() -> str:
    cases = []
    for command in (*COMMANDS, ""):
        specs = [_zsh_spec(face, flag) for face in _all(command) for flag in face.flags]
        first = " ".join(COMMANDS[command].words) if command else ""
        if command:
            specs.append(f"1:command:({command})")
        if first:
            specs.append(f"2:command:({first})")
        rest = f"({' '.join(fetchable_names())})" if command == "models" else "_files"
        specs.append(f"*:file:{rest}")
        lines = "\n".join(f"            {shlex.quote(spec)}" for spec in specs)
        cases.append(f"        {command or '*'}) options=(\n{lines}\n        ) ;;")
    commands = "\n".join(f"        {shlex.quote(f'{name}:{about.summary}')}" for name, about in COMMANDS.items())
    return _filled(_ZSH, COMMANDS=commands, CASES="\n".join(cases))


def _zsh_spec(face: Option, flag: str) -> str:
    """An option as ``_arguments`` takes it; the star: it may be given again, for the input and the output."""
    explained = re.sub(r"([][:\\])", r"\\\1", face.help)
    text = "*" + flag.replace(":", "\\:") + f"[{explained}]"
    if not takes_a_value(face):
        return text
    offered = choices(face)
    action = f"({' '.join(offered)})" if offered else "_files" if takes_a_path(face) else " "
    metavar = re.sub(r"[][:()]", " ", face.metavar).strip() or "value"
    return f"{text}:{metavar}:{action}"


_FISH = """\
# fish completion of streamvsr; made by `streamvsr completion fish`.
function __streamvsr_command
    set -l words (commandline -opc)
    if test (count $words) -ge 2; and contains -- $words[2] @COMMANDS@
        echo $words[2]
    end
end
function __streamvsr_is
    set -l command (__streamvsr_command)
    test "$argv[1]" = "$command"
end
function __streamvsr_at
    test (count (commandline -opc)) -eq $argv[1]
end
complete -c streamvsr -e
"""


def fish() -> str:
    lines = [_filled(_FISH, COMMANDS=" ".join(COMMANDS))]
    for name, about in COMMANDS.items():
        lines.append(f"complete -c streamvsr -n '__streamvsr_at 1' -a {name} -d {_fish(about.summary)}")
        lines += [
            f"complete -c streamvsr -n '__streamvsr_is {name}; and __streamvsr_at 2' -a {word}" for word in about.words
        ]
    fetched = " ".join(fetchable_names())
    lines.append(f"complete -c streamvsr -n '__streamvsr_is models; and not __streamvsr_at 2' -f -a '{fetched}'")
    for command in ("", *COMMANDS):
        for face in _all(command):
            spelled = " ".join(_fish_flag(flag) for flag in face.flags)
            line = f"complete -c streamvsr -n '__streamvsr_is \"{command}\"' {spelled} -d {_fish(face.help)}"
            if takes_a_value(face):
                offered = choices(face)
                line += f" -x -a {_fish(' '.join(offered))}" if offered else " -r" if takes_a_path(face) else " -x"
            lines.append(line)
    return "\n".join(lines)


def _fish_flag(flag: str) -> str:
    """Fish tells long options, one letter, and words with one dash apart."""
    if flag.startswith("--"):
        return f"-l {flag[2:]}"
    return f"-s {flag[1:]}" if len(flag) == 2 else f"-o {flag[1:]}"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _filled(template: str, **parts: str) -> str:
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template


SHELLS: Mapping[str, Callable[[], str]] = {"bash": bash, "zsh": zsh, "fish": fish}

"""From what the page, or a program, asks for to a command line of streamvsr that may be run here.

Whatever the way, the same check decides: on the ``Config`` that the command line means, not on its words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamvsr.config import GROUPS, IMAGES, VIDEOS, CallOptions, Config
from streamvsr.errors import UsageError
from streamvsr.options import Option, options_of
from streamvsr.ui.folders import Folders, RefusedError

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp")
_LEFT_OUT = """
-f -re -map -y -nostdin --config --backend --quiet --debug --dry-run --stats --progress --restart --ray --workers
--same-device-only --live-pair --checkpoint --live
"""
LEFT_OUT = frozenset(_LEFT_OUT.split())
"""What a job may not be given here: it reaches beyond the allowed folders or the job, or is the server's business."""
FORMATS = frozenset({None, "mp4", "mov", "matroska", "webm", "avi", "mpegts"})
"""Not tee, segment, hls: they write further files."""
PASSED_ON = frozenset({"tune", "profile", "profile:v", "level", "movflags", "rtsp_transport"})
"""Options for FFmpeg that name no file; presets that come with streamvsr may give others."""
_SAFE_FILTERS = """
scale crop pad setsar setdar hflip vflip transpose unsharp null bwdif yadif estdif w3fdif hqdn3d nlmeans atadenoise
deband deblock eq cas fps fieldmatch decimate mpdecimate gblur median smartblur dejudder
"""
SAFE_FILTERS = frozenset(_SAFE_FILTERS.split())
"""FFmpeg's filters that read and write no file."""
TRADITIONAL_SIZED = "laplacian,gaussian=5,vsr=model=bicubic"
"""The filter ``traditional``, written such that --scale holds."""
_PLAIN_CHAIN = re.compile(r"[A-Za-z0-9_.]+(=[A-Za-z0-9_.:=+|*()-]*)?(,[A-Za-z0-9_.]+(=[A-Za-z0-9_.:=+|*()-]*)?)*")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command line, as the command line reads it."""

    config: Config
    call: CallOptions
    typed: frozenset[str]
    """FFmpeg's options that were typed, and did not come from a preset."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the command line lends the server."""

    parse: Callable[[Sequence[str]], Parsed]
    """Raises ``UsageError``."""
    filters: frozenset[str]
    """Names of our own filters."""
    describe: Callable[[str], dict[str, Any]]
    """The form of a language: networks, presets, filters, options."""


@dataclass(frozen=True, slots=True)
class Order:
    """A run that may be run."""

    words: tuple[str, ...]
    input: str
    output: str
    live: bool
    config: Config


def faces() -> dict[str, dict[str, Option]]:
    """Group -> flag -> the options that the form has."""
    return {
        group: {face.flags[0]: face for _, face in options_of(cls) if face.flags[0] not in LEFT_OUT}
        for group, cls in GROUPS.items()
    }


def words_of(spec: Mapping[str, Any], folders: Folders) -> list[str]:
    """The command line of a filled form: ``input``, ``output`` (or none), ``method`` (network or traditional),
    ``preset``, and ``options``: group -> flag -> text. Raises ``UsageError``, ``RefusedError``.
    """
    path = spec.get("input")
    if not isinstance(path, str) or not path:
        raise UsageError("no input was named")
    before: list[str] = []
    after: list[str] = []
    options = options_in(spec)
    known = faces()
    preset = spec.get("preset")
    if preset:
        after.append(f"--preset={preset}")
    for group, values in options.items():
        if group not in known:
            raise UsageError(f"there are no options of '{str(group)[:40]}'")
        if group == "model" and spec.get("method") == "traditional":
            # There is no network that they could be for.
            continue
        for flag, value in values.items():
            face = known[group].get(flag)
            if face is None:
                raise UsageError(f"{str(flag)[:40]} is no option of a job here")
            (before if group == "input" else after).extend(_words(face, value))
    if spec.get("method") == "traditional":
        if "-vf" in options.get("output", {}):
            raise UsageError("-vf and 'traditional' say the same thing twice")
        scale = options.get("model", {}).get("--scale")
        # With another size, the enlargement is that of a network, whose size is computed in the same way.
        after += ["-vf", TRADITIONAL_SIZED, f"--scale={scale}"] if scale else ["-vf", "traditional"]
    output = spec.get("output") or free_name(path, spec, folders)
    return [*before, "-i", path, *after, output]


def options_in(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A copy of a form's options: group -> flag -> value. Raises ``UsageError``."""
    options = spec.get("options") or {}
    if not isinstance(options, Mapping) or not all(isinstance(values, Mapping) for values in options.values()):
        raise UsageError("'options' has to be an object: group -> flag -> text")
    return {group: dict(values) for group, values in options.items()}


def _words(face: Option, value: Any) -> list[str]:
    flag = face.flags[0]
    if isinstance(value, Mapping):
        raise UsageError(f"{flag}: expected a text")
    if value in (None, "", False) and face.kind != "yes_no":
        return []
    if face.kind == "flag":
        return [flag]
    if face.kind == "yes_no":
        return [] if value in (None, "") else [flag if value in (True, "yes") else face.flags[-1]]
    texts = [str(text) for text in (value if isinstance(value, list) else [value])]
    # Commands such as `look` take their own options from anywhere: no value may become one.
    if any(re.match("-[^0-9.]", text) or "\0" in text for text in texts):
        raise RefusedError(f"{flag}: a value cannot begin like an option")
    return [word for text in texts for word in ([f"{flag}={text}"] if flag.startswith("--") else [flag, text])]


def free_name(path: str, spec: Mapping[str, Any], folders: Folders, taken: frozenset[str] = frozenset()) -> str:
    """An output beside the input, or in the first folder for what was uploaded, that does not exist yet."""
    suffix = str(spec.get("suffix") or ".mp4")
    if suffix not in VIDEOS:
        raise UsageError(f"{suffix[:20]}: not the suffix of a video")
    if is_live(path):
        folder, stem = folders.roots[0], f"live_{path.partition('://')[2].partition('/')[0].rpartition('@')[2]}"
        stem = re.sub(r"[^A-Za-z0-9.-]", "_", stem)
    else:
        real = folders.readable(path)
        folder = folders.roots[0] if folders.is_own(real) else real.parent
        # A folder of images that was allowed itself.
        folder = folder if any(folder.is_relative_to(root) for root in folders.roots) else folders.roots[0]
        stem = real.stem
    what = "traditional" if spec.get("method") == "traditional" else "x4"
    for number in range(1, 10_000):
        name = str(folder / f"{stem[:150]}_{what}{'' if number == 1 else f'_{number}'}{suffix}")
        if name not in taken and not Path(name).exists() and not Path(f"{name}.streamvsr").exists():
            return name
    raise UsageError("there are ten thousand results already")


def is_live(path: str) -> bool:
    return path.partition("://")[0].lower() in LIVE_SCHEMES and "://" in path


def order(words: Sequence[str], services: Services, folders: Folders) -> Order:
    """Check a command line of a run.

    Raises ``UsageError`` for what means nothing, ``RefusedError`` for what may not be done here.
    """
    if not all(isinstance(word, str) for word in words):
        raise UsageError("a command is a list of texts")
    _check_presets(words)
    parsed = services.parse(words)
    config, run = parsed.config, parsed.config.run
    live = is_live(config.input.path)
    if not live:
        if "://" in config.input.path or config.input.path == "-" or "%" in Path(config.input.path).name:
            raise RefusedError("an input is a file or folder, or a live stream: rtsp, rtmp, srt, udp")
        source = str(folders.readable(config.input.path))
        if os.path.isdir(source):
            check_images(source, folders)
    else:
        source = config.input.path
    if "://" in config.output.path or config.output.path == "-":
        raise RefusedError("an output is a file")
    target = folders.writable(config.output.path)
    if target.suffix.lower() not in VIDEOS:
        raise RefusedError(f"'{target.name}': an output's name ends like a video's, such as .mp4 or .mkv")
    if config.output.format not in FORMATS or config.input.format is not None:
        raise RefusedError("-f is not taken here")
    if bad := sorted(parsed.typed - PASSED_ON):
        raise RefusedError(f"-{bad[0][:40]} is not taken here")
    model = config.model
    if model.config is not None or model.backend != "native":
        raise RefusedError("--config runs a program, and is not taken here")
    if model.checkpoint is not None:
        folders.readable(str(Path(model.checkpoint).absolute()))
    shown = run.progress != "auto" or run.quiet or run.dry_run or run.debug
    if run.live_pair is not None or run.ray is not None or run.workers is not None or shown:
        raise RefusedError("this option is not taken here")
    if parsed.call.output_folder is not None or parsed.call.print_config:
        raise RefusedError("a job has one input and one output")
    _check_chain(config.output.filters, services.filters)
    replaced = {config.input.path: source, config.output.path: str(target)}
    return Order(tuple(replaced.get(word, word) for word in words), source, str(target), live, config)


def check_images(folder: str, folders: Folders) -> None:
    """Links in a folder of images may lead out as well."""
    for name in os.listdir(folder):
        if Path(name).suffix.lower() in IMAGES:
            folders.readable(os.path.join(folder, name))


def _check_presets(words: Sequence[str]) -> None:
    """Before the file is read."""
    for place, word in enumerate(words):
        flag, equals, text = word.partition("=")
        if flag == "--preset":
            name = text if equals else words[place + 1] if place + 1 < len(words) else ""
            if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
                raise RefusedError("a preset is named here, and no file")


def _check_chain(chain: str | None, ours: frozenset[str]) -> None:
    if chain is None:
        return
    if len(chain) > 1000 or _PLAIN_CHAIN.fullmatch(chain) is None:
        raise RefusedError("-vf: only plain chains are taken here, such as bwdif=0,vsr,unsharp_mask=amount=0.5")
    for link in chain.split(","):
        name, _, values = link.partition("=")
        if name.removeprefix("cv.") not in ours and name.removeprefix("av.") not in SAFE_FILTERS:
            raise RefusedError(f"-vf {name[:40]}: this filter is not taken here")
        if re.search(r"(^|:)(checkpoint|config)=", values):
            raise RefusedError("-vf: a network's file is not taken here")

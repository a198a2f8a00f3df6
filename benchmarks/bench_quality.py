"""How good are the pictures, beside what else there is? Tables and crops of docs/quality.md, made anew by this command.

    python benchmarks/bench_quality.py [--frames 16] [--niqe-parameters niqe_pris_params.npz] [--fresh]

Clips that no training saw are shrunk by four as each condition says; every way to enlarge them gets the same input and
is measured against the same truth, as `streamvsr evaluate` does it. Speed is measured apart, ways in turns, on
demo/city_180p.mp4. Results are kept in build/quality and measured again where weights or settings have changed, all of
them with --fresh. Ways whose weights are not here are left out, and said so. docs/ is changed with --write alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
from material import CLIPS, DATA, ROOT, need

from streamvsr.config import Config, InputOptions, ModelOptions, OutputOptions
from streamvsr.errors import StreamvsrError
from streamvsr.metrics.evaluate import Method, evaluate, prepare, safe
from streamvsr.metrics.options import EvaluateOptions
from streamvsr.metrics.report import shown
from streamvsr.models import registry
from streamvsr.reading import open_reader

KEPT = ROOT / "build" / "quality"
PAGE = ROOT / "docs" / "quality.md"
FIGURES = ROOT / "docs" / "figures"
DEMO = ROOT / "demo" / "city_180p.mp4"
WEIGHTS = DATA / "weights"

TRUTHS = {
    "deer": str(CLIPS / "deer_1080p.mp4@2"),
    "phone": str(CLIPS / "phone_4k60_portrait.mp4@4"),
    "roof": str(DATA / "gt" / "roof_540p" / "gt"),
    "water": str(CLIPS / "water_cc0_360p.mp4"),
}
CONDITIONS = {
    "clean": "bicubic",
    "compressed": "h264=32",
    "noisy, compressed": "noise=5+h264=28",
    "noisy": "noise=10",
}
COLUMNS = {
    "lpips": "LPIPS",
    "dists": "DISTS",
    "niqe": "NIQE",
    "brisque": "BRISQUE",
    "ssimulacra2": "SSIMULACRA 2",
    "psnr_y": "PSNR-Y",
    "ssim_y": "SSIM-Y",
    "psnr_cb": "PSNR-Cb",
    "psnr_cr": "PSNR-Cr",
    "flicker": "flicker",
    "warping_error": "warping error",
}
"""Metric -> heading: what follows viewers best goes first."""
FILES = ("niqe_parameters", "lpips_backbone", "lpips_linear", "dists_backbone", "dists_weights")
NEEDS = {"niqe": FILES[:1], "lpips": FILES[1:3], "dists": FILES[3:]}
"""What a metric cannot be measured without: options of this program, and of ``streamvsr evaluate``."""
UNMEASURED = "-"
LANCZOS = "scale=4*iw:4*ih:flags=lanczos"
SHOWN = {
    "city": (str(CLIPS / "city_cc0_405p.mpg"), (270, 240, 160, 120)),
    "water": (TRUTHS["water"], (170, 20, 160, 120)),
}
"""Clips whose licence (CC0) lets their frames stand in the documentation: path, and x, y, width, height of the crop.
The city has the compression noise of its MPEG-2, so it is looked at and not measured."""


def ways() -> dict[str, Method]:
    """Label -> way, of those that can run here; the others are told."""
    wanted = {
        "bicubic": Method("bicubic", ModelOptions(model="bicubic")),
        "Lanczos (ffmpeg)": Method("lanczos", ModelOptions(model="identity"), LANCZOS),
        "rt": Method("rt", ModelOptions(model="rt")),
        "rt-real": Method("rt-real", ModelOptions(model="rt-real")),
        "rt-real, detail 1.5": Method("rt-real-1.5", ModelOptions(model="rt-real", detail=1.5)),
    }
    files = {
        "realesr-animevideov3": "realesr-animevideov3.pth",
        "realesr-general-x4v3": "realesr-general-x4v3.fp16.safetensors",
        "AnimeSR v2": "AnimeSR_v2.pth",
        "BasicVSR (REDS4)": "BasicVSR_REDS4.pth",
    }
    for label, name in files.items():
        wanted[label] = Method(safe(label), ModelOptions(checkpoint=str(WEIGHTS / name)))
    found = {}
    for label, way in wanted.items():
        try:
            if way.chain is None:
                registry.select(way.model.model, way.model.checkpoint)
            found[label] = way
        except StreamvsrError as error:
            print(f"left out: {label}: {error}")
    return found


def fingerprint(way: Method, *more: object) -> str:
    """Of everything that a result depends on, weights included."""
    path = None if way.chain else registry.select(way.model.model, way.model.checkpoint).path
    weights = b"" if path is None else Path(path).read_bytes()
    detail = () if way.model.detail is None else (way.model.detail,)
    return hashlib.sha256(weights + repr((way.chain, way.model.model, *detail, *more)).encode()).hexdigest()[:16]


def can_be_measured(a: argparse.Namespace, metric: str) -> bool:
    return all(getattr(a, name) for name in NEEDS.get(metric, ()))


def measure(a: argparse.Namespace, kept: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, float | None]]:
    """(condition, clip, label) -> metric -> mean."""
    found = {}
    last = a.frames - 1
    measured = tuple(name for name in COLUMNS if can_be_measured(a, name))
    at = f"0,{last // 2},{last}"
    for condition, recipe in CONDITIONS.items():
        for clip, path in (TRUTHS | {clip: path for clip, (path, _) in SHOWN.items()}).items():
            # Who is only looked at need not be measured.
            names = measured if clip in TRUTHS else ("psnr_y",)
            keys = {label: fingerprint(way, recipe, clip, a.frames, names, at) for label, way in a.ways.items()}
            missing = [label for label, key in keys.items() if key not in kept]
            if missing:
                files = {name: getattr(a, name) for name in FILES}
                options = EvaluateOptions(metrics=names, degrade=recipe, at=at, **files)
                plan = prepare([a.ways[label] for label in missing], path, options, a.frames)
                results = evaluate(
                    plan, warn=print, note=lambda _: None, progress_of=lambda _: lambda *_: None, folder=KEPT / recipe
                )
                for label, result in zip(missing, results, strict=True):
                    means = {name: result.scores.mean(name) for name in names}
                    kept[keys[label]] = means | {"folder": str(KEPT / recipe / safe(result.method) / result.clip)}
                    save(kept)
                    print(f"{condition}, {clip}, {label}: {shown('psnr_y', means['psnr_y'])} dB", flush=True)
            found |= {(condition, clip, label): kept[key] for label, key in keys.items()}
    return found


def speeds(a: argparse.Namespace, kept: dict[str, Any]) -> dict[str, float]:
    """Label -> milliseconds a frame of 320x180 in the filter, on the clock; the least of the rounds."""
    found: dict[str, float] = {}
    keys = {label: fingerprint(way, "speed") for label, way in a.ways.items()}
    # All or none: what was measured at another time cannot be compared.
    todo = [] if all(key in kept for key in keys.values()) else list(keys)
    for _ in range(a.rounds):
        for label in todo:
            way = a.ways[label]
            frames = 3 if label.startswith(("BasicVSR", "AnimeSR")) else 6 if label.startswith("realesr") else 60
            config = Config(InputOptions(path=str(DEMO)), OutputOptions(frames=frames, filters=way.chain), way.model)
            with closing(open_reader(config, print)) as reader:
                for _frame in reader:
                    pass
                busy = sum(stage.busy_seconds for stage in reader.run.stats()[1:-1])
            found[label] = min(1000 * busy / frames, found.get(label, 1e9))
            print(f"{label}: {found[label]:.1f} ms a frame", flush=True)
    for label in todo:
        kept[keys[label]] = {"ms": found[label], "load": os.getloadavg()[0]}
        save(kept)
    return {label: kept[key]["ms"] for label, key in keys.items()}


def tables(a: argparse.Namespace, found: dict[Any, dict[str, Any]], speed: dict[str, float]) -> dict[str, str]:
    """Name -> Markdown."""
    made = {}
    for condition in CONDITIONS:
        lines = [
            "| | " + " | ".join(COLUMNS.values()) + " | ms/frame |",
            "|---" * (len(COLUMNS) + 2) + "|",
        ]
        for label in a.ways:
            cells = []
            for name in COLUMNS:
                values = [found[condition, clip, label].get(name) for clip in TRUTHS]
                there = [v for v in values if v is not None]
                cells.append(shown(name, sum(there) / len(there)) if there else UNMEASURED)
            lines.append(f"| {label} | " + " | ".join(cells) + f" | {speed[label]:.{0 if speed[label] > 10 else 1}f} |")
        made[condition] = "\n".join(lines)
    lines = ["| PSNR-Y | | " + " | ".join(TRUTHS) + " | mean |", "|---" * (len(TRUTHS) + 3) + "|"]
    for condition in CONDITIONS:
        for label in a.ways:
            values = [found[condition, clip, label]["psnr_y"] for clip in TRUTHS]
            cells = " | ".join(f"{v:.2f}" for v in values)
            lines.append(f"| {condition} | {label} | {cells} | {sum(values) / len(values):.2f} |")
    made["clips"] = "\n".join(lines)
    return made


def figures(a: argparse.Namespace, found: dict[Any, dict[str, Any]]) -> dict[str, bytes]:
    """File name -> PNG: crops of one frame, a row a condition, a column a way."""
    import io

    from matplotlib.figure import Figure

    made = {}
    number = a.frames // 2
    for clip, (path, (x, y, width, height)) in SHOWN.items():
        columns = ["truth", *a.ways]
        size = (1.75 * len(columns), (1.75 * height / width + 0.3) * len(CONDITIONS))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(CONDITIONS), len(columns), squeeze=False)
        for row, condition in zip(axes, CONDITIONS, strict=True):
            for axis, label in zip(row, columns, strict=True):
                pixels = truth(path, number) if label == "truth" else None
                if pixels is None:
                    pixels = cv2.imread(f"{found[condition, clip, label]['folder']}/{number:08}.png")[..., ::-1]
                axis.imshow(pixels[y : y + height, x : x + width], interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                if condition == next(iter(CONDITIONS)):
                    axis.set_title(label, fontsize=8)
            row[0].set_ylabel(condition, fontsize=8)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=100)
        made[f"quality_{clip}.png"] = file.getvalue()
    return made


def truth(path: str, number: int) -> Any:
    import streamvsr

    frames = list(streamvsr.open(path, frames=number + 1))
    return frames[number].numpy()


def save(kept: dict[str, Any]) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    part = KEPT / "results.part"
    part.write_text(json.dumps(kept))
    part.replace(KEPT / "results.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2, help="of the speed measurement")
    for name in FILES:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="FILE", help="as for streamvsr evaluate")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--write", action="store_true", help="put tables and figures into docs/")
    a = parser.parse_args()
    need(CLIPS, DATA / "gt", WEIGHTS)
    results = KEPT / "results.json"
    kept = {} if a.fresh or not results.exists() else json.loads(results.read_text())
    a.ways = ways()
    begin = time.monotonic()
    speed = speeds(a, kept)
    found = measure(a, kept)
    print(f"\nmeasured in {time.monotonic() - begin:.0f} s; load average now {os.getloadavg()[0]:.1f}\n")
    made = tables(a, found, speed)
    for name, text in made.items():
        print(f"{name}\n\n{text}\n")
    if a.write:
        page = PAGE.read_text(encoding="utf-8")
        for name, text in made.items():
            mark = f"<!-- {name} -->"
            page = re.sub(
                f"{mark}.*?<!-- end -->", lambda _, t=text, m=mark: f"{m}\n{t}\n<!-- end -->", page, flags=re.DOTALL
            )
        PAGE.write_text(page, encoding="utf-8")
        for name, png in figures(a, found).items():
            (FIGURES / name).write_bytes(png)


if __name__ == "__main__":
    main()

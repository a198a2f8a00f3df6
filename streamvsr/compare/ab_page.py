"""A page on which viewers choose between two results without knowing which is which.

One file: images, style and script are in it, and nothing is fetched or sent. Sides are drawn anew for each pair and
each viewer; the votes are saved as CSV by the viewer's browser.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from html import escape
from typing import Any

import cv2
import numpy as np

from streamvsr.build import build
from streamvsr.compare.options import AbOptions, CompareOptions
from streamvsr.compare.painter import Painter
from streamvsr.compare.run import UNTOUCHED, labels_of
from streamvsr.config import Config, OutputOptions
from streamvsr.errors import SourceError, UsageError
from streamvsr.frames import Frame, StreamInfo
from streamvsr.options import check_options
from streamvsr.pipeline.frame_sink import FrameReader, FrameSink

PLAIN_OUTPUT = OutputOptions(no_audio=True, no_subtitles=True, no_data=True)


def ab_page(paths: Sequence[str], options: AbOptions, config: Config, *, warn: Callable[[str], None]) -> str:
    """The HTML for two inputs. ``config.input``'s options hold for both. Raises ``StreamvsrError``."""
    check_options(options)
    if len(paths) != 2:
        raise UsageError("two results are compared: streamvsr ab A B PAGE.html")
    opened = [_opened(config, path, Fraction(0), warn) for path in paths]
    infos, lengths = [info for info, _ in opened], [seconds for _, seconds in opened]
    if None in lengths and options.pairs > 1:
        raise SourceError(f"{paths[lengths.index(None)]}: its length is not known; --pairs 1 compares the first frames")
    length = min((seconds for seconds in lengths if seconds is not None), default=Fraction(0))
    painter = Painter(infos, CompareOptions(zoom=options.zoom), "side-by-side", ["", ""])
    pairs = []
    for number in range(options.pairs):
        at = length * (2 * number + 1) / (2 * options.pairs) if options.pairs > 1 else Fraction(0)
        at = Fraction(int(at * 1000), 1000)
        frames = [_frame(config, path, at, warn) for path in paths]
        pairs.append({"seconds": float(at), "images": [_png(cell) for cell in painter.cells(frames)]})
    # Viewers get the page: not where the files lie.
    return _html(options.title, {"names": labels_of(paths, CompareOptions()), "pairs": pairs})


def _opened(config: Config, path: str, at: Fraction, warn: Callable[[str], None]) -> tuple[StreamInfo, Fraction | None]:
    with closing(_reader(config, path, at, warn, frames=None)) as reader:
        return reader.media.video, reader.media.duration


def _reader(
    config: Config, path: str, at: Fraction, warn: Callable[[str], None], frames: int | None = 1
) -> FrameReader:
    start = (config.input.start or Fraction(0)) + at
    input = replace(config.input, path=path, start=start or None)
    one = Config(input, replace(PLAIN_OUTPUT, frames=frames), UNTOUCHED, config.run)
    frame_sink = FrameSink()
    return FrameReader(build(one, warn=warn, frame_sink=frame_sink), frame_sink)


def _frame(config: Config, path: str, at: Fraction, warn: Callable[[str], None]) -> Frame:
    with closing(_reader(config, path, at, warn)) as reader:
        frame = next(reader, None)
    if frame is None:
        raise SourceError(f"{path}: there is no frame at {float(at):.2f} s")
    return frame


def _png(pixels: Any) -> str:
    if pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    return base64.b64encode(bytes(data)).decode()


def _html(title: str, data: dict[str, Any]) -> str:
    # Nothing in the data may end the script element, whatever the files are called.
    text = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _PAGE.replace("@TITLE@", escape(title)).replace("@DATA@", text)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@TITLE@</title>
<style>
body { background: #777; color: #000; font: 16px sans-serif; margin: 1em; text-align: center; }
#pair { display: flex; gap: 1em; justify-content: center; }
#pair img { max-width: 48vw; max-height: 78vh; object-fit: contain; }
button { font: inherit; margin: 0.6em; padding: 0.4em 1.2em; }
</style>
</head>
<body>
<h1>@TITLE@</h1>
<p id="count"></p>
<div id="pair"><img id="left" alt="left"><img id="right" alt="right"></div>
<p id="buttons">
<button data-vote="left">Left (&larr;)</button>
<button data-vote="same">No difference (&darr;)</button>
<button data-vote="right">Right (&rarr;)</button>
</p>
<p id="end" hidden>Thank you. <button id="save">Save the votes (CSV)</button></p>
<script type="application/json" id="data">@DATA@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const random = (below) => crypto.getRandomValues(new Uint32Array(1))[0] % below;
const order = data.pairs.map((_, number) => number);
for (let last = order.length - 1; last > 0; last--) {
  const other = random(last + 1);
  [order[last], order[other]] = [order[other], order[last]];
}
const votes = [];
let place = 0, swapped = false, shown = 0;

function show() {
  const over = place === order.length;
  element("buttons").hidden = element("pair").hidden = over;
  element("pair").style.display = over ? "none" : "flex";
  element("end").hidden = !over;
  element("count").textContent = over ? "" : (place + 1) + " of " + order.length;
  if (over) return;
  swapped = random(2) === 1;
  const images = data.pairs[order[place]].images;
  element("left").src = "data:image/png;base64," + images[swapped ? 1 : 0];
  element("right").src = "data:image/png;base64," + images[swapped ? 0 : 1];
  shown = performance.now();
}

function vote(side) {
  if (place === order.length) return;
  const [left, right] = swapped ? [data.names[1], data.names[0]] : data.names;
  const chosen = side === "left" ? left : side === "right" ? right : "";
  votes.push([data.pairs[order[place]].seconds, left, right, chosen, Math.round(performance.now() - shown)]);
  place += 1;
  show();
}

function csv() {
  const quoted = (value) => '"' + String(value).replaceAll('"', '""') + '"';
  const head = ["seconds", "left", "right", "chosen", "milliseconds"];
  return [head, ...votes].map((line) => line.map(quoted).join(",")).join("\\r\\n") + "\\r\\n";
}

for (const button of document.querySelectorAll("[data-vote]")) {
  button.addEventListener("click", () => vote(button.dataset.vote));
}
document.addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "left", ArrowDown: "same", ArrowRight: "right" }[event.key];
  if (side) { event.preventDefault(); vote(side); }
});
element("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "votes.csv";
  link.click();
});
show();
</script>
</body>
</html>
"""

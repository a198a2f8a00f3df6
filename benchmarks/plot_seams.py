"""Draws docs/figures/seams.png from what bench_seams.py wrote with --csv.

python benchmarks/plot_seams.py seams.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "seams.png"
MARKS = {"carry": "o-", "carry-all": "s:", "window": "x--"}


def main() -> None:
    with Path(sys.argv[1]).open() as file:
        rows = list(csv.DictReader(file))
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    figure, axes = plt.subplots(2, len(clips), figsize=(4 * len(clips), 7), sharex=True)
    for column, clip in enumerate(clips):
        for way, mark in MARKS.items():
            mine = [r for r in rows if (r["clip"], r["way"]) == (clip, way)]
            here = sorted(((float(r["cost"]), r) for r in mine), key=lambda pair: pair[0])
            cost = [c for c, _ in here]
            axes[0, column].plot(cost, [float(r["dB to whole"]) for _, r in here], mark, label=way)
            axes[1, column].plot(cost, [float(r["seam"]) / float(r["elsewhere"]) for _, r in here], mark, label=way)
            for c, r in here:
                axes[0, column].annotate(f"{r['L']}/{r['V']}", (c, float(r["dB to whole"])), fontsize=7)
        axes[0, column].set_title(clip)
        axes[1, column].axhline(1, color="grey", linewidth=0.5)
        axes[1, column].set_xlabel("trunk passes a frame")
    axes[0, 0].set_ylabel("PSNR to the whole-sequence result, dB")
    axes[1, 0].set_ylabel("change at seams / change elsewhere")
    axes[0, 0].legend()
    figure.tight_layout()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=80)


if __name__ == "__main__":
    main()

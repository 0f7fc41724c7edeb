"""A picture of what `benchmarks.throughput` has printed: `python -m benchmarks.plot FILE SVG`."""

import json
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path

TITLE = "Events a second of one worker process"
LABELS = {
    "faststream_by_hand": "FastStream + SQLAlchemy, by hand",
    "by_hand": "Faust + SQLAlchemy, by hand",
    "stock": "Faust, which saves nothing",
    "transactional": "@checkpoint and an INSERT of the handler",
    "checkpoint": "@checkpoint, which records every event",
    "duplicates": "@checkpoint of events known already",
    "copy": "COPY of the rows: PostgreSQL's limit",
}
"""From top to bottom."""
OURS = {"transactional", "checkpoint", "duplicates"}
WIDTH, LEFT, RIGHT, TOP, ROW, BAR, LINE = 840, 330, 150, 64, 34, 20, 16
"""Pixels; a row holds one bar, a line is one of the small print."""
_wrap = textwrap.TextWrapper(118).wrap
STYLE = """\
text { font: 14px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.ours { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.card { fill: #ffffff; stroke: #d1d9e0 }
.bar { fill: #afb8c1 }
.bar.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .card { fill: #0d1117; stroke: #3d444d }
  .bar { fill: #656c76 }
  .bar.ours { fill: #4493f8 }
}"""


def draw(cases: Mapping[str, Mapping[str, float]], machine: str) -> str:
    """Return the SVG of the cases in a line of JSON; its stylesheet knows light and dark."""
    small_print = [line for all_of_it in machine.splitlines() for line in _wrap(all_of_it)]
    bottom = TOP + ROW * len(cases.keys() & LABELS.keys())
    height = bottom + LINE * (len(small_print) + 1)
    box = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{TITLE}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        _text(20, 34, TITLE, "title"),
        *_bars([(name, cases[name]) for name in LABELS if name in cases]),
        *_lines(small_print, bottom + LINE),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _bars(cases: list[tuple[str, Mapping[str, float]]]) -> Iterator[str]:
    most = max(case["events_per_s"] for _, case in cases)
    for number, (name, case) in enumerate(cases):
        y = TOP + ROW * number
        rate = case["events_per_s"]
        width = max(2.0, (WIDTH - LEFT - RIGHT) * rate / most)
        kind = "ours" if name in OURS else "peer"
        yield _text(20, y + 15, LABELS[name], "peer")
        bar = f'x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"'
        yield f'<rect class="bar {kind}" {bar}/>'
        # Of two digits: what is more is chance.
        ratio = f"{case['ratio']:.1f}" if case["ratio"] >= 1 else f"{case['ratio']:.2g}"
        yield _text(
            LEFT + width + 8, y + 15, f"{rate:,.0f} · {ratio} \N{MULTIPLICATION SIGN}", kind
        )


def _lines(lines: Iterable[str], y: int) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _text(20, y + LINE * number, line, "small")


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def main() -> None:
    """Draw the last line of a file that has the benchmark's output."""
    parser = ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("output", type=Path, help="of benchmarks.throughput")
    parser.add_argument("picture", type=Path, help="an SVG, written anew")
    asked = parser.parse_args()
    told = json.loads(asked.output.read_text().splitlines()[-1])
    asked.picture.write_text(draw(told["cases"], told["machine"]))


if __name__ == "__main__":
    main()

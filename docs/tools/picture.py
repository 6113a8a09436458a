"""Draws the picture of the architecture from the imports of the code."""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/phaseline"
PICTURE = ROOT / "docs/explanation/rooms.svg"


class Floor(NamedTuple):
    """Rooms that are drawn as one box."""

    title: str
    about: str
    rooms: AbstractSet[str]
    place: tuple[int, float, float]
    """Row from above, left edge and width as parts of the whole."""


def _rooms(names: str) -> frozenset[str]:
    return frozenset(names.split())


FLOORS = (
    Floor(
        "Surfaces",
        "for a shell, a network, a terminal, a test, an observer",
        _rooms(
            "cli web console otel prometheus recipes ai templates views outline inspection scraper sync testing"
        ),
        (0, 0, 1),
    ),
    Floor(
        "What users hold",
        "pipelines, runtimes, handles",
        _rooms(
            "runtime schedules schedule handle arguments dead_letters runs pipeline streams crypto backends"
        ),
        (1, 0, 1),
    ),
    Floor(
        "Shell",
        "waits and does: commits, calls bodies",
        _rooms("_shell bus subscriptions watches plugins metrics"),
        (2, 0, 0.48),
    ),
    Floor(
        "Adapters",
        "one technology each",
        _rooms("storage queues transports"),
        (2, 0.52, 0.48),
    ),
    Floor("Engine", "decides: pure functions, no I/O", _rooms("_engine"), (3, 0, 0.48)),
    Floor("Ports", "what an adapter must do", _rooms("abc timetable transport"), (3, 0.52, 0.48)),
    Floor(
        "What goes in and out",
        "units of work, questions and answers",
        _rooms(
            "unit_of_work run_filter health dead_letter exports wire event_filter instrumentation query_arguments"
        ),
        (4, 0, 1),
    ),
    Floor(
        "Definitions",
        "phases, and what a composition of them means",
        _rooms("_definition settings"),
        (5, 0, 0.48),
    ),
    Floor(
        "Facts and rules",
        "runs, events; no I/O, no time, no chance",
        _rooms("machine retry events control places run rows statistics tags schedule_rule limits usage"),
        (6, 0, 1),
    ),
    Floor(
        "Values",
        "what all other rooms may use",
        _rooms("_values serving logs event_loop times schemes errors masking"),
        (7, 0, 1),
    ),
)

WIDTH, MARGIN, GAP = 760, 10, 34
LINE, LETTER = 15, 6.7
"""Height of a line and width of a letter of the small print."""


def layers() -> list[str]:
    """The contract of imports between rooms, from above."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (rooms,) = (each["layers"] for each in contracts if each.get("containers") == ["phaseline"])
    return rooms


def listed() -> set[str]:
    """The rooms as the contract of imports lists them."""
    return {room.strip("() ") for layer in layers() for room in layer.split("|")}


def imports(room: str) -> set[str]:
    """The rooms that a room imports at run time."""
    package = PACKAGE / room
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]
    names = (name for file in files for name in _imported(ast.parse(file.read_text("utf-8"))))
    found = {name.split(".")[1] for name in names if name.startswith("phaseline.")}
    return found - {room}


def _imported(tree: ast.AST) -> Iterator[str]:
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module == "phaseline":
        yield from (f"phaseline.{alias.name}" for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield tree.module
    for child in ast.iter_child_nodes(tree):
        yield from _imported(child)


def arrows(floors: tuple[Floor, ...] = FLOORS) -> dict[str, set[str]]:
    """From which floor imports lead to which others; what follows from other arrows is left out."""
    floor_of = {room: floor.title for floor in floors for room in floor.rooms}
    direct: dict[str, set[str]] = {floor.title: set() for floor in floors}
    for room, title in floor_of.items():
        direct[title] |= {floor_of[other] for other in imports(room) if other in floor_of} - {title}
    reached = {title: _reached(title, direct) for title in direct}
    return {
        title: {other for other in others if not any(other in reached[between] for between in others)}
        for title, others in direct.items()
    }


def _reached(title: str, direct: Mapping[str, AbstractSet[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(direct[title])
    while waiting:
        other = waiting.pop()
        if other == title:
            raise ValueError(
                f"imports lead from {title!r} back to it: the floors of the picture do not part the rooms"
            )
        if other not in found:
            found.add(other)
            waiting += direct[other]
    return found


class Box(NamedTuple):
    """A floor on the picture."""

    x: float
    y: float
    width: float
    height: float


def draw() -> str:
    """The picture as SVG; nothing is loaded by it."""
    prints = {floor.title: _small_print(floor) for floor in FLOORS}
    boxes: dict[str, Box] = {}
    y = float(MARGIN)
    for row in sorted({floor.place[0] for floor in FLOORS}):
        floors = [floor for floor in FLOORS if floor.place[0] == row]
        height = max(48 + LINE * len(prints[floor.title]) for floor in floors)
        for floor in floors:
            _, left, width = floor.place
            boxes[floor.title] = Box(MARGIN + left * WIDTH, y, width * WIDTH, height)
        y += height + GAP
    lines = [
        _arrow(boxes[title], boxes[other]) for title, others in arrows().items() for other in sorted(others)
    ]
    drawn = [_box(floor, boxes[floor.title], prints[floor.title]) for floor in FLOORS]
    return _DOCUMENT.format(
        width=WIDTH + 2 * MARGIN,
        height=round(y - GAP + MARGIN),
        arrows="\n".join(lines),
        boxes="\n".join(drawn),
    )


def _small_print(floor: Floor) -> list[str]:
    letters = int((floor.place[2] * WIDTH - 24) / LETTER)
    return textwrap.wrap(
        ", ".join(sorted(floor.rooms, key=lambda room: room.lstrip("_"))), letters, break_on_hyphens=False
    )


def _box(floor: Floor, box: Box, small: list[str]) -> str:
    about = f'<tspan class="about" dx="10">{escape(floor.about)}</tspan>'
    text = [f'<text class="title" x="{box.x + 12:g}" y="{box.y + 21:g}">{escape(floor.title)}{about}</text>']
    text += [
        f'<text class="small" x="{box.x + 12:g}" y="{box.y + 44 + LINE * n:g}">{escape(line)}</text>'
        for n, line in enumerate(small)
    ]
    frame = f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    return "\n".join([frame, *text])


def _arrow(source: Box, target: Box) -> str:
    """From the lower edge to the upper one, where both are."""
    left, right = max(source.x, target.x), min(source.x + source.width, target.x + target.width)
    x1 = x2 = (left + right) / 2
    if right <= left:
        x1, x2 = source.x + source.width / 2, target.x + target.width / 2
    return f'<line x1="{x1:g}" y1="{source.y + source.height:g}" x2="{x2:g}" y2="{target.y - 2:g}"/>'


_DOCUMENT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
<title id="title">The rooms of phaseline, in floors; arrows point from who imports to what is imported</title>
<style>
svg {{ background: #fff; font-family: sans-serif; }}
rect {{ fill: #eef1fb; stroke: #4051b5; }}
.title {{ font-size: 14px; font-weight: bold; fill: #1d2440; }}
.about {{ font-size: 12px; font-weight: normal; fill: #555; }}
.small {{ font: 11px monospace; fill: #333; }}
line {{ stroke: #4051b5; stroke-width: 2; marker-end: url(#tip); }}
</style>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="#4051b5"/>
</marker>
{boxes}
{arrows}
</svg>
"""

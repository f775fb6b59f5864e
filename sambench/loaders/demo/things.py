"""What stands in the scenes of the demo dataset: each function lays one thing, with its annotated parts, on a board.

`at` is the origin in pixels, `size` the pixels of one unit. A thing is annotated whole, and some of its parts by
themselves, so that one click can mean either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from sambench.loaders.demo.draw import Board, Skin
from sambench.loaders.demo.shapes import (
    UPRIGHT,
    Colour,
    Point,
    Shape,
    Turn,
    bend,
    blob,
    both,
    box,
    ellipse,
    lens,
    minus,
    polygon,
    star,
    stroke,
    union,
)

STEEL: Colour = (150, 152, 156)
LEAF: Colour = (74, 116, 52)
WHITE: Colour = (226, 224, 216)
BLACK: Colour = (34, 33, 36)


class Spot(NamedTuple):
    """Where and how large a thing is laid."""

    board: Board
    at: Point
    size: float
    turn: Turn = UPRIGHT
    shadow: float = 0.35

    def put(self, shape: Shape, skin: Skin, name: str = "", part_of: int | None = None, alpha: float = 1.0) -> int:
        return self.board.put(
            shape, skin, at=self.at, size=self.size, turn=self.turn, category=name, part_of=part_of,
            reach=1.6, shadow=self.shadow, alpha=alpha,
        )  # fmt: skip


def mug(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    side = 1.0 if d.chance(0.5) else -1.0
    skin = Skin(colour, d.near(colour, 60), d.pick(["plain", "stripes", "dots", "checks"]), 0.33, slope=-35)
    handle = minus(ellipse(0.42, 0.4, (0.66 * side, 0)), ellipse(0.26, 0.24, (0.66 * side, 0)))
    whole = s.put(minus(handle, box(0.6, 0.8)), replace(skin, pattern="plain"), "mug")
    s.put(both(box(0.62, 0.8, corner=0.15), ellipse(0.8, 1.1)), skin, "", whole)
    s.put(ellipse(0.6, 0.17, (0, -0.72)), Skin(d.near((70, 45, 30), 25), dome=10), "drink", whole)


def plate(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    whole = s.put(ellipse(), Skin(colour, d.near(colour, 40), d.pick(["plain", "stripes"]), 0.12, slope=18, dome=14), "plate")
    s.put(ellipse(0.66, 0.66), Skin(d.near(colour, 10), slope=-14, dome=10), "well", whole)


def cutlery(s: Spot) -> None:
    d = s.board.dice
    skin = Skin(d.near(STEEL, 30), slope=55, grain=7)
    if d.chance(0.5):
        tines = [box(0.035, 0.3, (x, -0.85)) for x in (-0.15, -0.05, 0.05, 0.15)]
        s.put(union(box(0.05, 0.6, (0, 0.45), 0.04), ellipse(0.19, 0.24, (0, -0.42)), *tines), skin, "fork")
    else:
        whole = s.put(union(polygon([(-0.06, 0.2), (0.09, 0.2), (0.11, -0.7), (0.03, -1.05), (-0.06, -1.1)])), skin, "knife")
        s.put(box(0.08, 0.4, (0.01, 0.6), 0.07), Skin(d.near((70, 52, 40), 30), slope=40), "handle", whole)


def fruit(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    whole = s.put(
        blob(d, 0.16, 5),
        Skin(colour, d.near(colour, 55), d.pick(["plain", "plain", "stripes", "dots"]), 0.5, dome=45, shine=60, slope=-15),
        "fruit",
    )
    s.put(stroke(bend((0, -0.75), (0.1, -1.0), (0.3, -1.15), 6), 0.12, 0.07), Skin((80, 62, 38)), "", whole)
    if d.chance(0.6):
        leaf = Spot(s.board, (s.at[0] + 0.45 * s.size, s.at[1] - 0.95 * s.size), s.size * 0.42, d.turn(0.5), 0)
        leaf.put(lens(0.42), Skin(d.near(LEAF, 25), (110, 150, 80), "veins", 0.3), "leaf", whole)


def flower(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    sway = d.real(-0.7, 0.7)
    stem = stroke(bend((0, 0), (sway * 0.2, 1.0), (sway, 2.6), 10), 0.11, 0.16)
    whole = s.board.put(stem, Skin(d.near(LEAF, 20)), at=s.at, size=s.size, category="flower", reach=2.8, shadow=0.2)
    n = d.pick([4, 6, 8])
    head = s.put(star(n, d.real(0.45, 0.75)), Skin(colour, d.near(colour, 70), "dots", 0.4, dome=30), "blossom", whole)
    s.put(ellipse(0.32, 0.32), Skin(d.near((196, 150, 50), 40), (90, 60, 30), "checks", 0.11, dome=30), "centre", head)
    for side in (-1.0, 1.0):
        if d.chance(0.6):
            at = (s.at[0] + s.size * (sway * 0.4 + 0.5 * side), s.at[1] + s.size * d.real(1.3, 2.0))
            leaf = Spot(s.board, at, s.size * 0.55, d.turn(0.4), 0.2)
            leaf.put(lens(0.32), Skin(d.near(LEAF, 28), (120, 150, 80), "veins", 0.3, slope=20), "leaf", whole)


def fallen_leaf(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    skin = Skin(colour, d.near(colour, 60), "veins", d.real(0.2, 0.4), grain=20, grain_px=5, slope=d.real(-30, 30))
    edge = d.real(0.3, 0.62)
    outline = lens(edge) if d.chance(0.65) else star(6, d.real(0.5, 0.8))
    if d.chance(0.35):  # eaten
        outline = minus(outline, ellipse(0.16, 0.12, (d.real(-0.4, 0.4), d.real(-0.1, 0.1))))
    whole = s.put(outline, skin, "leaf")
    s.put(stroke([(0.9, 0), (1.45, d.real(-0.15, 0.15))], 0.09, 0.06), replace(skin, pattern="plain"), "", whole)


def house(s: Spot, colour: Colour, lit: Colour, floors: int) -> None:
    """Stands with its foot at `at`; two units wide, about `floors` units high."""
    d = s.board.dice
    top = -0.9 * floors
    pattern = d.pick(["plain", "stripes", "checks"])
    walls = Skin(colour, d.near(colour, 25), pattern, 0.14, slope=d.real(-25, 25))
    whole = s.board.put(box(1, -top / 2, (0, top / 2)), walls, at=s.at, size=s.size, category="house", reach=-top + 1.2)
    if d.chance(0.6):
        roof = polygon([(-1.15, top), (0, top - d.real(0.5, 1.0)), (1.15, top)])
        tiles = Skin(d.near((120, 62, 48), 40), (70, 50, 50), "stripes", 0.22)
        s.board.put(roof, tiles, at=s.at, size=s.size, category="roof", part_of=whole, reach=-top + 1.2)
    for floor in range(floors):
        for x in (-0.6, 0.0, 0.6):
            y = top + 0.45 + 0.9 * floor
            if floor == floors - 1 and x == 0.0:
                door = Skin(d.near((86, 58, 40), 30), slope=20)
                s.board.put(box(0.2, 0.38, (0, -0.38)), door, at=s.at, size=s.size, category="door", part_of=whole, reach=9)
            elif d.chance(0.85):
                pane = Skin(d.near(lit, 45), slope=-40, grain=5)
                s.board.put(box(0.19, 0.25, (x, y)), pane, at=s.at, size=s.size, category="window", part_of=whole, reach=9)


def car(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    way = 1.0 if d.chance(0.5) else -1.0
    skin = Skin(colour, slope=-20, dome=-20, grain=6)
    cabin = polygon([(x * way, y) for x, y in [(-0.75, -0.2), (-0.5, -0.6), (0.25, -0.6), (0.6, -0.2)]])
    whole = s.put(union(cabin, box(1.15, 0.27, (0, 0.05), 0.14)), skin, "car")
    glass = polygon([(x * way, y) for x, y in [(-0.6, -0.2), (-0.43, -0.52), (0.2, -0.52), (0.46, -0.2)]])
    s.put(minus(glass, box(0.04, 0.6, (-0.1 * way, -0.4))), Skin((70, 84, 96), slope=30, grain=8), "", whole)
    for x in (-0.65, 0.62):
        wheel = s.put(ellipse(0.26, 0.26, (x * way, 0.3)), Skin(d.near(BLACK, 8)), "wheel", whole)
        s.put(ellipse(0.13, 0.13, (x * way, 0.3)), Skin(d.near(STEEL, 25)), "", wheel)


def tree(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    trunk = stroke(bend((0, 1.2), (d.real(-0.2, 0.2), 0.4), (0, -0.2), 5), 0.26, 0.16)
    whole = s.put(trunk, Skin(d.near((88, 66, 48), 18), (60, 46, 36), "stripes", 0.13), "tree")
    skin = Skin(colour, d.near(colour, 30), "dots", 0.24, grain=30, grain_px=3, dome=25)
    s.board.put(blob(d, 0.4, 9), skin, at=(s.at[0], s.at[1] - 0.55 * s.size), size=s.size * 0.85, category="crown", part_of=whole)


def lamp(s: Spot) -> None:
    d = s.board.dice
    pole = stroke([(0, 0), (0, -3.4), *bend((0, -3.4), (0.05, -3.9), (0.6, -3.9), 5)], 0.13, 0.09)
    iron = Skin(d.near((70, 74, 76), 20), slope=30)
    whole = s.board.put(pole, iron, at=s.at, size=s.size, category="lamp", reach=4.2)
    s.board.put(ellipse(0.3, 0.16, (0.7, -3.85)), Skin((230, 214, 150)), at=s.at, size=s.size, part_of=whole, reach=4.2)


def cell(s: Spot, glow: Colour) -> None:
    d = s.board.dice
    bright = d.real(0.45, 1.1)
    body: Colour = (glow[0] * bright, glow[1] * bright, glow[2] * bright)
    s.put(blob(d, 0.3, d.whole(4, 7)), Skin(body, grain=18, grain_px=d.real(3, 6), dome=34 * bright, slope=12), "cell", alpha=0.9)


def pebble(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    pattern = d.pick(["plain", "plain", "plain", "stripes", "dots"])
    skin = Skin(
        colour, d.near(colour, 28), pattern, d.real(0.3, 0.8), grain=20, grain_px=d.real(2, 5), dome=30, shine=14, slope=-12
    )
    s.put(blob(d, 0.34, d.whole(4, 8)), skin, "pebble")


def fish(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    way = 1.0 if d.chance(0.5) else -1.0
    pattern = d.pick(["stripes", "dots", "plain", "veins"])
    skin = Skin(colour, d.near(colour, 70), pattern, d.real(0.25, 0.5), slope=-10, dome=12, grain=10)
    fins = replace(skin, colour=d.near(colour, 35), pattern="stripes", pitch=0.12)
    tail = polygon([(-0.75 * way, 0), (-1.3 * way, -0.42), (-1.12 * way, 0), (-1.3 * way, 0.42)])
    whole = s.put(polygon([(-0.3 * way, -0.3), (0.1 * way, -0.72), (0.35 * way, -0.3)]), fins, "fish")
    s.put(tail, fins, "tail", whole)
    s.put(ellipse(0.95, 0.46), skin, "", whole)
    eye = s.put(ellipse(0.11, 0.11, (0.6 * way, -0.12)), Skin(WHITE, grain=3), "eye", whole)
    s.put(ellipse(0.06, 0.06, (0.62 * way, -0.12)), Skin(BLACK, grain=0), "", eye)


def weed(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    x, y, points = 0.0, 0.0, [(0.0, 0.0)]
    for i in range(4):
        mid = (x + (0.5 if i % 2 else -0.5) * d.real(0.4, 1.2), y - 0.45)
        end = (x + d.real(-0.2, 0.2), y - 0.9)
        points += bend((x, y), mid, end, 5)[1:]
        x, y = end
    skin = Skin(colour, slope=20, grain=16)
    s.board.put(stroke(points, 0.3, 0.1), skin, at=s.at, size=s.size, category="weed", reach=4.2, shadow=0.15)


def bubble(s: Spot) -> None:
    whole = s.put(ellipse(), Skin((190, 215, 220), dome=-70, grain=3), "bubble", alpha=0.3)
    s.put(ellipse(0.2, 0.14, (-0.4, -0.42)), Skin((240, 246, 246), grain=0), "", whole, 0.8)


def hardware(s: Spot, colour: Colour) -> None:
    """A washer, nut, gear, key or screw."""
    d = s.board.dice
    skin = Skin(colour, d.near(colour, 24), d.pick(["plain", "stripes"]), 0.1, slope=d.real(-50, 50), grain=12)
    kind = d.whole(0, 4)
    if kind == 0:
        s.put(minus(ellipse(), ellipse(d.real(0.35, 0.7), 0.55)), skin, "washer")
    elif kind == 1:
        hexagon = polygon([(1, 0), (0.5, 0.866), (-0.5, 0.866), (-1, 0), (-0.5, -0.866), (0.5, -0.866)])
        s.put(minus(hexagon, ellipse(0.5, 0.5)), skin, "nut")
    elif kind == 2:
        whole = s.put(minus(star(12, 0.78), ellipse(0.2, 0.2)), skin, "gear")
        s.put(minus(ellipse(0.4, 0.4), ellipse(0.2, 0.2)), replace(skin, colour=d.near(colour, 30)), "hub", whole)
    elif kind == 3:
        ring = minus(ellipse(0.45, 0.45, (-0.85, 0)), ellipse(0.24, 0.24, (-0.85, 0)))
        teeth = [box(0.06, 0.15, (x, 0.18)) for x in (0.75, 0.95, 1.15)]
        whole = s.put(union(box(0.85, 0.085, (0.4, 0)), *teeth[: d.whole(2, 3)]), skin, "key")
        s.put(ring, replace(skin, slope=-skin.slope), "bow", whole)
    else:
        whole = s.put(polygon([(-0.6, -0.11), (1.0, -0.11), (1.3, 0), (1.0, 0.11), (-0.6, 0.11)]),
                      replace(skin, second=BLACK, pattern="stripes", pitch=0.13), "screw")  # fmt: skip
        s.put(both(ellipse(0.3, 0.42, (-0.55, 0)), box(0.3, 0.5, (-0.75, 0))), skin, "head", whole)


def cable(s: Spot, colour: Colour) -> None:
    """A thin loop of wire over much of the frame, with a plug at its end."""
    d = s.board.dice
    a: Point = (-1.4, d.real(-0.8, 0.8))
    b: Point = (-1.0, d.real(-1.3, 1.3))
    points: list[Point] = []
    for _ in range(4):
        c = (a[0] + d.real(0.5, 0.9), d.real(-0.8, 0.8))
        points += bend(a, b, c, 12)[:-1]
        a, b = c, (c[0] + 0.7 * (c[0] - b[0]), c[1] + 0.7 * (c[1] - b[1]))  # no kink where two arcs meet
    skin = Skin(colour, d.near(colour, 60), d.pick(["plain", "stripes"]), 0.09, grain=8)
    w = d.real(0.025, 0.06)
    whole = s.board.put(stroke([*points, a], w), skin, at=s.at, size=s.size, turn=s.turn, category="cable", reach=2.2, shadow=0.3)
    plug = union(box(0.16, 0.1, a, 0.04), box(0.26, 0.02, (a[0] + 0.1, a[1] - 0.05)), box(0.26, 0.02, (a[0] + 0.1, a[1] + 0.05)))
    s.board.put(
        plug, Skin(d.near(colour, 30), slope=20), at=s.at, size=s.size, turn=s.turn, category="plug", part_of=whole, reach=2.4
    )


def book(s: Spot, colour: Colour, half_width: float, height: float) -> None:
    """Stands with its foot at `at`."""
    d = s.board.dice
    skin = Skin(colour, d.near(colour, 22), d.pick(["plain", "stripes"]), 0.06, slope=d.real(60, 160), grain=10)
    whole = s.put(box(half_width, height / 2, (0, -height / 2), 0.02), skin, "book")
    y = -height * d.real(0.55, 0.8)
    if d.chance(0.7):
        label = Skin(d.near(colour, 65), BLACK, "stripes", half_width * 0.31, grain=5)
        s.put(box(half_width * 0.74, height * d.real(0.06, 0.15), (0, y)), label, "label", whole)
    for dy in (0.06, 0.94):
        s.put(box(half_width, 0.018, (0, -height * dy)), Skin(d.near(colour, 50)), "", whole)


def robot(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    skin = Skin(colour, d.near(colour, 40), d.pick(["plain", "checks", "dots"]), 0.2, slope=-28, grain=9)
    thin = Skin(d.near(STEEL, 35), slope=40)
    limbs = []
    for side in (-1.0, 1.0):
        hand = (side * d.real(0.8, 1.2), d.real(-0.6, 0.7))
        limbs.append(stroke([(side * 0.4, -0.1), (side * 0.8, d.real(-0.1, 0.3)), hand], 0.11))
        limbs.append(stroke([(side * 0.25, 0.5), (side * d.real(0.2, 0.5), 1.15)], 0.14))
        limbs.append(ellipse(0.2, 0.1, (side * 0.4, 1.2)))
        limbs.append(minus(ellipse(0.17, 0.17, hand), ellipse(0.08, 0.08, hand)))
    whole = s.put(union(*limbs, stroke([(0, -0.9), (d.real(-0.2, 0.2), -1.4)], 0.05)), thin, "robot")
    s.put(box(0.46, 0.52, (0, 0.12), 0.1), skin, "torso", whole)
    head = s.put(box(0.36, 0.28, (0, -0.72), 0.12), replace(skin, colour=d.near(colour, 40), pattern="plain"), "head", whole)
    for x in (-0.15, 0.15):
        eye = s.put(ellipse(0.1, 0.1, (x, -0.76)), Skin(WHITE, grain=4), "eye", head)
        s.put(ellipse(0.045, 0.045, (x + 0.02, -0.75)), Skin(BLACK, grain=0), "", eye)
    s.put(box(0.18, 0.14, (0, 0.2), 0.03), Skin(d.near((170, 70, 60), 40), WHITE, "stripes", 0.08), "panel", whole)


def balloon(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    string = stroke(bend((0, 1.1), (d.real(-0.9, 0.9), 2.2), (d.real(-0.4, 0.4), 3.6), 12), 0.05)
    whole = s.board.put(string, Skin((206, 206, 206), grain=4), at=s.at, size=s.size, category="balloon", reach=3.8)
    pattern = d.pick(["plain", "plain", "stripes", "dots"])
    skin = Skin(colour, d.near(colour, 60), pattern, 0.4, dome=40, shine=70, grain=6)
    s.put(union(ellipse(0.86, 1.05), polygon([(0, 0.98), (0.13, 1.18), (-0.13, 1.18)])), skin, "envelope", whole)


def button(s: Spot, colour: Colour) -> None:
    d = s.board.dice
    k = 0.2
    holes = [ellipse(0.1, 0.1, (x, y)) for x in (-k, k) for y in (-k, k)] if d.chance(0.6) else [ellipse(0.13, 0.13)]
    if len(holes) == 1 and d.chance(0.6):
        holes = [ellipse(0.12, 0.12, (-k, 0)), ellipse(0.12, 0.12, (k, 0))]
    outline = star(10, 0.88) if d.chance(0.25) else ellipse()
    whole = s.put(
        minus(outline, *holes), Skin(colour, d.near(colour, 40), d.pick(["plain", "dots"]), 0.3, slope=-30, dome=10), "button"
    )
    s.put(minus(ellipse(0.62, 0.62), *holes), Skin(d.near(colour, 16), slope=30), "dish", whole)


def needle(s: Spot) -> None:
    d = s.board.dice
    eye = minus(stroke([(-1.3, 0), (-1.0, 0)], 0.11), stroke([(-1.28, 0), (-1.05, 0)], 0.04))
    s.put(union(eye, stroke([(-1.0, 0), (1.4, 0)], 0.09, 0.03)), Skin(d.near(STEEL, 30), slope=30, grain=6), "needle")


def cutout(s: Spot, colour: Colour) -> None:
    """An abstract paper shape, perhaps with a hole and an inlay."""
    d = s.board.dice
    pattern = d.pick(["plain", "stripes", "checks", "dots"])
    skin = Skin(colour, d.near(colour, 45), pattern, d.real(0.15, 0.5), slope=d.real(-30, 30), grain=10)
    outlines: list[Shape] = [
        polygon([(d.real(-1, -0.4), -0.8), (d.real(0.3, 1), -0.7), (0.9, d.real(0.2, 0.9)), (-0.6, d.real(0.4, 1))]),
        minus(ellipse(), ellipse(0.6, 0.6, (d.real(-0.2, 0.2), 0.1))),
        star(d.pick([4, 6, 8, 10]), d.real(0.35, 0.7)),
        stroke(bend((-1, d.real(-0.8, 0.8)), (0, d.real(-1.8, 1.8)), (1, d.real(-0.8, 0.8)), 12), d.real(0.15, 0.4), 0.1),
        blob(d, 0.6, d.whole(3, 8)),
        minus(ellipse(), ellipse(1, 1, (0.5, -0.3))),
    ]
    whole = s.put(d.pick(outlines), skin, "cutout")
    if d.chance(0.4):
        at = (s.at[0] - 0.3 * s.size, s.at[1] + 0.25 * s.size)
        paper = Skin(d.near(colour, 55), slope=20)
        s.board.put(both(ellipse(), box(0.8, 0.8)), paper, at=at, size=0.35 * s.size, turn=d.turn(1),
                    category="inlay", part_of=whole, inside=True)  # fmt: skip

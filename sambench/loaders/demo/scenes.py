"""The 24 scenes of the demo dataset. FROZEN: bars and published demo numbers refer to these pixels.

Any change, also of the order of two draws, makes another dataset: raise the card's `revision` and the digests with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sambench.loaders.demo import things
from sambench.loaders.demo.draw import Board, Skin, Thing
from sambench.loaders.demo.shapes import Colour, Dice, Point, box
from sambench.loaders.demo.things import Spot
from sambench.types import UInt8Array

BRIGHT: tuple[Colour, ...] = ((188, 66, 54), (208, 150, 52), (70, 110, 160), (90, 140, 86), (150, 84, 140), (200, 190, 160))
EARTH: tuple[Colour, ...] = ((140, 96, 58), (166, 122, 70), (120, 74, 48), (150, 130, 92), (98, 84, 52), (176, 92, 50))
DUSK: tuple[Colour, ...] = ((62, 66, 92), (84, 70, 84), (52, 72, 84), (96, 88, 92), (70, 58, 66))


class Drawn(NamedTuple):
    """One finished scene: image uint8 [H, W, 3] RGB and its annotated things, each with its exact visible mask."""

    image_id: str
    image: UInt8Array
    things: list[Thing]


def _scattered(d: Dice, w: int, h: int, n: int, gap: float, tries: int = 30) -> Iterator[Point]:
    """About n points of the frame, at least `gap` pixels apart where room can be found."""
    taken: list[Point] = []
    for _ in range(n):
        for _ in range(tries):
            p = (d.real(0.03, 0.97) * w, d.real(0.04, 0.96) * h)
            if all((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) >= gap * gap for q in taken):
                taken.append(p)
                yield p
                break


def _table(b: Board, d: Dice) -> None:
    wood = d.near((150, 112, 74), 30)
    b.ground(wood, d.near(wood, 30), 9.0, 10.0, 14.0)
    unit = (b.width + b.height) / 22
    for k, p in enumerate(_scattered(d, b.width, b.height, 17, unit * 1.75)):
        s = Spot(b, p, unit * d.real(0.75, 1.3), d.turn(0.6))
        if k % 5 == 0:
            things.plate(s._replace(size=s.size * 1.5), d.near((206, 200, 186), 30))
            for q in ((-0.3, 0.1), (0.35, -0.15)):
                at = (p[0] + q[0] * s.size, p[1] + q[1] * s.size)
                things.fruit(Spot(b, at, s.size * d.real(0.3, 0.45), d.turn(1)), d.near(d.pick(BRIGHT), 30))
        elif k % 5 in (1, 3):
            things.mug(s._replace(turn=d.turn(0.1)), d.near(d.pick((*BRIGHT, wood)), 35))
        elif k % 5 == 2:
            things.cutlery(s._replace(size=s.size * 1.1, turn=d.turn(1)))
        else:
            things.fruit(s._replace(size=s.size * 0.7), d.near(d.pick((*BRIGHT, wood)), 30))


def _garden(b: Board, d: Dice) -> None:
    b.ground((62, 92, 44), (96, 122, 62), 7.0, 20.0, 0.5)
    unit = (b.width + b.height) / 40
    for p in sorted(_scattered(d, b.width, b.height, 12, unit * 3), key=lambda q: q[1]):
        at = (p[0], 0.72 * p[1] + 0.02 * b.height)
        things.flower(Spot(b, at, unit * d.real(0.8, 1.8), d.turn(1)), d.near(d.pick((*BRIGHT, (150, 160, 90))), 35))


def _street(b: Board, d: Dice, *, night: bool = False) -> None:
    sky: Colour = (30, 34, 54) if night else (150, 180, 206)
    b.fade(sky, d.near(DUSK[3] if night else (206, 208, 202), 20), 0, 0.62)
    b.fade((58, 60, 64) if night else (120, 118, 116), (40, 42, 46) if night else (92, 92, 94), 0.6, 1, 10)
    walls = DUSK if night else (*EARTH, (170, 160, 150), (150, 168, 184))
    lit: Colour = (196, 168, 92) if night else (96, 112, 128)
    unit = b.width / 16
    for row in range(2):  # the far row first
        x, foot = d.real(0, 1) * unit, b.height * (0.6 if row == 0 else 0.68)
        while x < b.width:
            size = unit * d.real(0.9, 1.3)
            if row == 0 or d.chance(0.45):
                things.house(Spot(b, (x, foot), size), d.near(d.pick(walls), 25), lit, d.whole(2, 3) + (1 - row))
            x += size * d.real(2.0, 2.6)
    for p in _scattered(d, b.width, b.height, 4, unit * 2):
        things.tree(Spot(b, (p[0], b.height * 0.68), unit * d.real(1.1, 1.7), shadow=0), d.near((72, 98, 58), 20))
    things.lamp(Spot(b, (b.width * d.real(0.2, 0.8), b.height * 0.75), unit * 0.8))
    for lane in (0.78, 0.92):
        x = d.real(0.5, 3.0) * unit
        while x < b.width:
            at = (x, b.height * lane)
            things.car(Spot(b, at, unit * (0.7 + lane), shadow=0.5), d.near(d.pick((*BRIGHT, (110, 110, 112))), 30))
            x += unit * d.real(3.6, 7.5)


def _cells(b: Board, d: Dice) -> None:
    b.ground((12, 20, 26), (34, 52, 50), 60.0, 7.0)
    glow = d.near((110, 170, 150), 15)
    for p in _scattered(d, b.width, b.height, 105, b.width / 30):
        things.cell(Spot(b, p, b.width / 38 * d.real(0.6, 1.25), d.turn(1, True), shadow=0), glow)


def _pebbles(b: Board, d: Dice) -> None:
    sand: Colour = (158, 142, 118)
    b.ground(sand, (136, 122, 104), 22.0, 16.0)
    for k, p in enumerate(_scattered(d, b.width, b.height, 106, b.width / 25)):
        size = b.width / 33 * d.real(0.5, 1.2) * (2.0 if k % 23 == 0 else 1.0)
        colour = d.near(d.pick((sand, sand, (128, 124, 120), (150, 118, 96), (176, 168, 154))), 26)
        things.pebble(Spot(b, p, size, d.turn(1, True), shadow=0.45), colour)


def _sea(b: Board, d: Dice) -> None:
    b.fade((86, 150, 162), (28, 70, 96), 0, 0.9, 9)
    b.fade((120, 118, 92), (96, 90, 70), 0.88, 1, 16)
    unit = (b.width + b.height) / 26
    for _ in range(7):
        at = (d.real(0.02, 0.98) * b.width, b.height * d.real(0.9, 1.0))
        things.weed(Spot(b, at, unit * d.real(0.7, 1.3)), d.near((58, 104, 74), 30))
    for p in _scattered(d, b.width, int(b.height * 0.92), 14, unit * 1.5):
        size, tilt = unit * d.real(0.45, 1.5), d.turn(0.25)
        things.fish(Spot(b, p, size, tilt, shadow=0.12), d.near(d.pick((*BRIGHT, (70, 120, 136), (90, 130, 130))), 35))
    for p in _scattered(d, b.width, int(b.height * 0.8), 6, unit):
        things.bubble(Spot(b, p, unit * d.real(0.18, 0.4), shadow=0))


def _workshop(b: Board, d: Dice) -> None:
    base = d.near(d.pick(((72, 76, 82), (70, 56, 44), (52, 62, 72))), 14)
    b.ground(base, d.near(base, 24), 5.0, 10.0, 8.0)
    unit = (b.width + b.height) / 28
    for p in _scattered(d, b.width, b.height, 23, unit * 1.7):
        colour = d.near(d.pick((things.STEEL, (160, 132, 78), (120, 92, 74), base)), 28)
        things.hardware(Spot(b, p, unit * d.real(0.5, 1.1), d.turn(1, True), shadow=0.5), colour)


def _litter(b: Board, d: Dice) -> None:
    b.ground((78, 62, 46), (112, 92, 66), 6.0, 18.0)
    unit = (b.width + b.height) / 24
    for p in _scattered(d, b.width, b.height, 33, unit * 0.95):
        colour = d.near(d.pick((*EARTH, (112, 116, 58))), 24)
        things.fallen_leaf(Spot(b, p, unit * d.real(0.65, 1.35), d.turn(1, True), shadow=0.5), colour)


def _cables(b: Board, d: Dice) -> None:
    base = d.near((128, 124, 118), 35)
    b.ground(base, d.near(base, 20), 30.0, 14.0)
    middle = (b.width / 2, b.height / 2)
    for _ in range(9):
        at = (middle[0] + d.real(-0.1, 0.1) * b.width, middle[1] + d.real(-0.25, 0.25) * b.height)
        colour = d.near(d.pick((*BRIGHT, things.BLACK, things.WHITE, base)), 25)
        things.cable(Spot(b, at, b.width * d.real(0.28, 0.42), d.turn(0.7, True)), colour)
    for p in _scattered(d, b.width, b.height, 7, b.width / 6):
        things.hardware(Spot(b, p, b.width / 26, d.turn(1, True), shadow=0.5), d.near(things.STEEL, 30))


def _shelf(b: Board, d: Dice) -> None:
    b.ground((70, 52, 38), (88, 68, 50), 8.0, 12.0, 12.0)
    rows = 2 if b.width > b.height else 3
    unit = b.height / (rows + 0.15)
    for row in range(rows):
        foot, x = unit * (row + 0.97), 0.02 * b.width
        while x < 0.97 * b.width:
            half, tall = d.real(0.045, 0.12), d.real(0.55, 0.83)
            if d.chance(0.1):
                things.mug(Spot(b, (x + 0.2 * unit, foot - 0.14 * unit), 0.17 * unit), d.near(d.pick(BRIGHT), 30))
                x += 0.42 * unit
                continue
            lean = d.turn(0.06) if d.chance(0.2) else (1.0, 0.0)
            colour = d.near(d.pick((*BRIGHT, *EARTH, *DUSK)), 25)
            things.book(Spot(b, (x + half * unit, foot), unit, lean, shadow=0.3), colour, half, tall)
            x += (2 * half + d.real(0.003, 0.03)) * unit
        plank = Skin((122, 92, 62), (104, 76, 50), "stripes", 0.011, grain=9)
        b.put(box(3, 0.035, (0, 0.035)), plank, at=(b.width / 2, foot), size=unit, category="plank", reach=3)


def _robots(b: Board, d: Dice) -> None:
    base = d.near((212, 206, 188), 16)
    b.ground(base, d.near(base, 40), 45.0, 9.0)
    unit = (b.width + b.height) / 17
    for p in sorted(_scattered(d, b.width, b.height, 8, unit * 2.0), key=lambda q: q[1]):
        colour = d.near(d.pick((*BRIGHT, base, things.STEEL)), 30)
        things.robot(Spot(b, p, unit * d.real(0.65, 1.2), d.turn(0.15)), colour)


def _sky(b: Board, d: Dice) -> None:
    b.ground((112, 152, 196), (204, 212, 216), 90.0, 8.0, 2.0)
    unit = (b.width + b.height) / 26
    for p in _scattered(d, b.width, b.height, 16, unit * 1.7):
        at = (p[0], p[1] * 0.8)
        things.balloon(Spot(b, at, unit * d.real(0.6, 1.5), d.turn(0.1), shadow=0), d.near(d.pick((*BRIGHT, (150, 176, 200))), 35))


def _cloth(b: Board, d: Dice) -> None:
    base = d.near(d.pick(DUSK), 14)
    b.ground(base, d.near(base, 30), 2.0, 14.0)
    weave = Skin(base, d.near(base, 26), "checks", 0.02, grain=14)
    b.put(box(1, 1), weave, at=(b.width / 2, b.height / 2), size=float(max(b.width, b.height)), alpha=0.7)
    unit = (b.width + b.height) / 30
    for p in _scattered(d, b.width, b.height, 19, unit * 1.7):
        if d.chance(0.2):
            things.needle(Spot(b, p, unit * d.real(0.9, 1.6), d.turn(1, True)))
        else:
            things.button(Spot(b, p, unit * d.real(0.6, 1.2), d.turn(1, True)), d.near(d.pick((*BRIGHT, base, base)), 35))


def _collage(b: Board, d: Dice) -> None:
    base = d.near(d.pick(((218, 210, 192), (60, 56, 66))), 14)
    b.ground(base, d.near(base, 35), 40.0, 11.0)
    unit = (b.width + b.height) / 20
    for p in _scattered(d, b.width, b.height, 20, unit * 1.05):
        colour = d.near(d.pick((*BRIGHT, *EARTH, base)), 30)
        things.cutout(Spot(b, p, unit * d.real(0.5, 1.35), d.turn(1, True), shadow=0.3), colour)


def _night(b: Board, d: Dice) -> None:
    _street(b, d, night=True)


class Scene(NamedTuple):
    """A theme drawn at a size; blur in passes, grain in grey levels, light and vignette as fractions."""

    image_id: str
    draw: Callable[[Board, Dice], None]
    width: int
    height: int
    blur: int
    grain: float
    light: float
    vignette: float


SCENES: tuple[Scene, ...] = (
    Scene("01-table", _table, 640, 480, 1, 4.4, 0.21, 0.35),
    Scene("02-garden", _garden, 480, 640, 1, 3.9, 0.15, 0.21),
    Scene("03-street", _street, 800, 600, 1, 3.3, 0.12, 0.21),
    Scene("04-cells", _cells, 696, 520, 2, 3.3, 0.24, 0.42),
    Scene("05-pebbles", _pebbles, 720, 540, 1, 3.9, 0.24, 0.28),
    Scene("06-sea", _sea, 640, 427, 2, 3.9, 0.18, 0.28),
    Scene("07-workshop", _workshop, 512, 512, 1, 5.0, 0.3, 0.28),
    Scene("08-litter", _litter, 600, 450, 1, 3.9, 0.24, 0.28),
    Scene("09-cables", _cables, 500, 375, 1, 4.4, 0.24, 0.21),
    Scene("10-shelf", _shelf, 640, 440, 1, 3.9, 0.3, 0.35),
    Scene("11-robots", _robots, 560, 700, 1, 4.4, 0.24, 0.28),
    Scene("12-sky", _sky, 600, 800, 2, 3.3, 0.18, 0.21),
    Scene("13-cloth", _cloth, 480, 360, 1, 4.4, 0.3, 0.28),
    Scene("14-collage", _collage, 640, 640, 1, 5.0, 0.18, 0.21),
    Scene("15-night", _night, 900, 700, 2, 5.5, 0.18, 0.42),
    Scene("16-table", _table, 900, 600, 2, 5.0, 0.3, 0.42),
    Scene("17-garden", _garden, 320, 240, 1, 4.4, 0.18, 0.21),
    Scene("18-sea", _sea, 427, 640, 1, 5.5, 0.3, 0.35),
    Scene("19-workshop", _workshop, 800, 533, 2, 4.4, 0.36, 0.35),
    Scene("20-litter", _litter, 360, 480, 2, 5.0, 0.18, 0.28),
    Scene("21-cables", _cables, 720, 480, 1, 5.0, 0.3, 0.35),
    Scene("22-shelf", _shelf, 460, 690, 2, 5.0, 0.36, 0.35),
    Scene("23-robots", _robots, 700, 500, 1, 5.5, 0.3, 0.35),
    Scene("24-collage", _collage, 375, 500, 2, 4.4, 0.24, 0.28),
)


def draw(number: int) -> Drawn:
    """Scene 0..23."""
    s = SCENES[number]
    dice = Dice(20230405 + number)
    board = Board(s.height, s.width, dice)
    s.draw(board, dice)
    return Drawn(s.image_id, board.finish(blur=s.blur, grain=s.grain, light=s.light, vignette=s.vignette), board.annotations())

"""Small PNG files from a browser's screenshots: a palette of the colours that matter (PNG, third edition)."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOURS: Final = 64
_COARSE: Final = 0b1111_1000  # colours that differ by less are one when they are counted
_DEPTH: Final = 8
_CHANNELS: Final = {2: 3, 6: 4}  # truecolour, and with alpha
_INDEXED: Final = 3
_UP, _AVERAGE, _PAETH = 2, 3, 4

type Colour = tuple[int, int, int]


def smaller(png: bytes) -> bytes:
    """Return the same picture with at most 64 colours; `png` is a screenshot as Chromium makes it: no interlacing."""
    width, height, rows = _decoded(png)
    pixels = [_colours(row, len(row) // width) for row in rows]
    counted = Counter(colour for row in pixels for colour in row)
    palette = _palette(counted)
    nearest = {colour: _nearest(colour, palette) for colour in counted}
    lines = b"".join(b"\0" + bytes(nearest[colour] for colour in row) for row in pixels)
    return b"".join((
        _SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _DEPTH, _INDEXED, 0, 0, 0)),
        _chunk(b"PLTE", bytes(channel for colour in palette for channel in colour)),
        _chunk(b"IDAT", zlib.compress(lines, 9)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _palette(counted: Counter[Colour]) -> list[Colour]:
    """Return the commonest colour of each of the commonest regions of colours."""
    regions = Counter[Colour]()
    first: dict[Colour, Colour] = {}
    for colour, count in counted.most_common():
        region = (colour[0] & _COARSE, colour[1] & _COARSE, colour[2] & _COARSE)
        regions[region] += count
        first.setdefault(region, colour)
    return [first[region] for region, _ in regions.most_common(_COLOURS)]


def _nearest(colour: Colour, palette: list[Colour]) -> int:
    distances = [sum((a - b) ** 2 for a, b in zip(colour, each, strict=True)) for each in palette]
    return distances.index(min(distances))


def _colours(row: bytes, channels: int) -> list[Colour]:
    return list(zip(row[0::channels], row[1::channels], row[2::channels], strict=True))


def _decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Return width, height and the rows without their filters; raise `ValueError` for another kind of PNG."""
    parts = list(_chunks(png))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", dict(parts)[b"IHDR"])
    if depth != _DEPTH or kind not in _CHANNELS or interlaced:
        raise ValueError("only 8-bit truecolour without interlacing can be read")
    raw = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
    channels, rows = _CHANNELS[kind], list[bytes]()
    before = bytes(width * channels)
    for start in range(0, len(raw), width * channels + 1):
        before = _unfiltered(raw[start], raw[start + 1 : start + 1 + width * channels], before, channels)
        rows.append(before)
    return width, height, rows


def _unfiltered(kind: int, line: bytes, above: bytes, channels: int) -> bytes:
    """Undo a row's filter (section 9.2)."""
    row = bytearray(line)
    for at, value in enumerate(line if kind else b""):
        left = row[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        predicted = {
            _UP: above[at], _AVERAGE: (left + above[at]) // 2, _PAETH: _paeth(left, above[at], corner),
        }.get(kind, left)  # fmt: skip
        row[at] = (value + predicted) & 0xFF
    return bytes(row)


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda each: abs(estimate - each))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        yield name, png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

"""Tags and directories of TIFF files, to join a large raster from blocks that GDAL compressed.

GDAL compresses blocks and describes a raster (coordinate system, colours, tags) in a small template file. This
module splits such files into tags and blocks (`parse_directory`), and lays out the directories of the
final file in front of its blocks (`pack_directories`), as classic TIFF or, above four gigabytes, as BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS, SUBFILE_TYPE = 256, 257, 324, 325, 254
CLASSIC_LIMIT = 2**32 - 2**20
"""Files that would end beyond this byte are written as BigTIFF."""

_FORMATS = {
    1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
    13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
_GEOREFERENCE = {33550, 33922, 34264, 34735, 34736, 34737, 42112}

_GHOST = (
    "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
STRUCTURAL_METADATA = f"GDAL_STRUCTURAL_METADATA_SIZE={len(_GHOST):06d} bytes\n{_GHOST}".encode()
"""Text behind the header by which GDAL knows that a file is cloud-optimized."""


@dataclass(frozen=True)
class Tag:
    """One TIFF tag: its field type, number of values, and the values' little-endian bytes."""

    kind: int
    count: int
    payload: bytes

    @classmethod
    def longs(cls, values: Sequence[int] | NDArray[np.integer], *, big: bool = False) -> Tag:
        """Return a tag of unsigned integers, of 64 bits where ``big``."""
        array = np.asarray(values, dtype="<u8" if big else "<u4")
        return cls(16 if big else 4, array.size, array.tobytes())

    def integers(self) -> list[int]:
        """Return the values of an integer tag."""
        return list(struct.unpack(f"<{self.count}{_FORMATS[self.kind]}", self.payload))


Directory = Mapping[int, Tag]


def parse_directory(content: bytes) -> Directory:
    """Return the tags of the first directory of a classic little-endian TIFF."""
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    tags = {}
    for position in range(start + 2, start + 2 + 12 * entries, 12):
        number, kind, count = struct.unpack_from("<HHI", content, position)
        size = count * struct.calcsize("<" + _FORMATS[kind])
        place = position + 8 if size <= 4 else struct.unpack_from("<I", content, position + 8)[0]
        tags[number] = Tag(kind, count, content[place : place + size])
    return tags


def overview_directory(full: Directory) -> Directory:
    """Return the tags that an overview shares with the full raster, marked as a reduced image."""
    kept = {number: tag for number, tag in full.items() if number not in _GEOREFERENCE}
    return kept | {SUBFILE_TYPE: Tag.longs([1])}


def sized_directory(
    directory: Directory,
    shape: tuple[int, int],
    offsets: NDArray[np.integer],
    counts: NDArray[np.integer],
    *,
    big: bool,
) -> Directory:
    """Return a directory with the size and the block table of one raster.

    Parameters
    ----------
    directory
        Tags that all rasters of the file share.
    shape
        Rows and columns.
    offsets, counts
        Position and size in bytes of each block, ``(block,)``.
    big
        Whether positions take 64 bits (BigTIFF).

    Returns
    -------
    mapping
        Tags by their number.
    """
    return {
        **directory,
        WIDTH: Tag.longs([shape[1]]),
        HEIGHT: Tag.longs([shape[0]]),
        TILE_OFFSETS: Tag.longs(offsets, big=big),
        TILE_BYTE_COUNTS: Tag.longs(counts),
    }


def pack_directories(directories: Sequence[Directory], *, big: bool, ghost: bool) -> bytes:
    """Return header and directories as they stand at the start of the file.

    The result's length depends on the numbers of tags and values only, so it can be computed before the
    offsets of the blocks are known.

    Parameters
    ----------
    directories
        The full raster first, then its overviews.
    big
        Whether the file is a BigTIFF.
    ghost
        Whether GDAL's structural metadata of cloud-optimized files follow the header.

    Returns
    -------
    bytes
        What precedes the first block.
    """
    front = (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
    )
    out = bytearray(front + (STRUCTURAL_METADATA if ghost else b""))
    link = 8 if big else 4  # where the previous directory's pointer to the next one stands
    for directory in directories:
        out += bytes(-len(out) % 8)
        struct.pack_into("<Q" if big else "<I", out, link, len(out))
        link = _append_directory(out, directory, big=big)
    return bytes(out + bytes(-len(out) % 8))


def _append_directory(out: bytearray, directory: Directory, *, big: bool) -> int:
    head, row, inline = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    entry_size = struct.calcsize(row) + inline
    start = len(out) + struct.calcsize(head)
    link = start + entry_size * len(directory)
    out += struct.pack(head, len(directory)) + bytes(entry_size * len(directory) + inline)
    for position, number in enumerate(sorted(directory)):
        tag = directory[number]
        place = start + position * entry_size
        struct.pack_into(row, out, place, number, tag.kind, tag.count)
        value = place + struct.calcsize(row)
        if len(tag.payload) <= inline:
            out[value : value + len(tag.payload)] = tag.payload
            continue
        out += bytes(-len(out) % 8)
        struct.pack_into("<Q" if big else "<I", out, value, len(out))
        out += tag.payload
    return link


def parse_blocks(content: bytes) -> list[bytes]:
    """Return the compressed blocks of a classic tiled TIFF in their order."""
    tags = parse_directory(content)
    places = zip(tags[TILE_OFFSETS].integers(), tags[TILE_BYTE_COUNTS].integers(), strict=True)
    return [content[offset : offset + count] for offset, count in places]


def as_planes(directory: Directory) -> Directory:
    """Return the directory with bands stored one after the other (planar configuration 2)."""
    return {**directory, 284: replace(Tag.longs([2]), kind=3, payload=struct.pack("<H", 2))}

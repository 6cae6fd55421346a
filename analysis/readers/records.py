"""Records of a TFRecord file: length, checksum of the length, data, checksum of the data."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tensorboard.summary.writer.record_writer import masked_crc32c

from analysis.readers.reader import LogFile

HEADER = struct.Struct("<QI")
"""Length of the data, and the masked CRC-32C of its eight bytes."""
_FOOTER = struct.Struct("<I")
_CHECKED_BYTES = 2**12
"""Larger records hold pictures and histograms: their checksums are not computed."""
_MAX_BYTES = 2**28


def begins_record(data: bytes) -> bool:
    """Tell whether `data` begins with the header of a record."""
    if len(data) < HEADER.size:
        return False
    _, checksum = HEADER.unpack_from(data)
    return bool(masked_crc32c(data[:8]) == checksum)


def records(file: LogFile) -> Iterator[tuple[int, bytes]]:
    """Yield the number, from 1, and the data of each record.

    A damaged record is counted as broken. Where a length is damaged or the file ends within a
    record, what follows is lost: it counts as one.
    """
    with file.path.open("rb") as stream:
        number = 0
        while header := stream.read(HEADER.size):
            number += 1
            length = HEADER.unpack(header)[0] if begins_record(header) else _MAX_BYTES + 1
            body = stream.read(length + _FOOTER.size) if length <= _MAX_BYTES else b""
            if len(body) < length + _FOOTER.size:
                file.broken(number)
                return
            data, checksum = body[:length], _FOOTER.unpack_from(body, length)[0]
            if length <= _CHECKED_BYTES and masked_crc32c(data) != checksum:
                file.broken(number)
            else:
                yield number, data

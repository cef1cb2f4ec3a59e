"""Block-gzip, as ``bgzip`` writes it (SAM specification, section 4.1)."""

import itertools
import struct
import zlib


def bgzip(data, nbytes=(0xFF00,)):
    """Compress it in blocks that hold so many bytes each, in turn."""
    data = memoryview(data)
    blocks, sizes = [], itertools.cycle(nbytes)
    while data:
        size = next(sizes)
        blocks.append(_block(data[:size]))
        data = data[size:]
    return b"".join([*blocks, _block(b"")])


def _block(data):
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(data) + deflate.flush()
    header = b"\x1f\x8b\x08\x04" + bytes(4) + b"\0\xff" + struct.pack("<H", 6)
    header += b"BC" + struct.pack("<HH", 2, len(packed) + 25)
    return header + packed + struct.pack("<II", zlib.crc32(data), len(data))

"""What a subscriber writes: frames and control bodies. WIRE.md "Frames", "Control bodies"; reading stands in decode_session.py."""

import struct
import zlib

from decoder import MESSAGES, version_of

TYPES = {name: kind for kind, (name, _) in MESSAGES.items()}


def packed(value):
    """MessagePack, each value in its shortest form."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        for tag, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << 8 * size:
                return bytes([tag]) + value.to_bytes(size, "big")
    if isinstance(value, bytes):
        return (b"\xc4" + struct.pack(">B", len(value)) if len(value) < 256 else b"\xc5" + struct.pack(">H", len(value))) + value
    if isinstance(value, str):
        text = value.encode()
        if len(text) < 32:
            return bytes([0xA0 | len(text)]) + text
        return (b"\xd9" + struct.pack(">B", len(text)) if len(text) < 256 else b"\xda" + struct.pack(">H", len(text))) + text
    if isinstance(value, list):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(">H", len(value))
        return head + b"".join(map(packed, value))
    if isinstance(value, dict):
        said = {key: content for key, content in value.items() if content is not None}
        head = bytes([0x80 | len(said)]) if len(said) < 16 else b"\xde" + struct.pack(">H", len(said))
        return head + b"".join(packed(key) + packed(content) for key, content in said.items())
    raise TypeError(f"no form for {value!r}")


class Writer:
    """One direction of a connection: the frames of messages."""

    def __init__(self):
        self.sequence = 0

    def frame(self, name, body, transaction=0):
        content = body if isinstance(body, bytes) else packed(body)
        head = struct.pack("<IBBHIII", 0x54534352, version_of(TYPES[name]), TYPES[name], 0, transaction, self.sequence, len(content))
        self.sequence += 1
        return head + struct.pack("<I", zlib.crc32(head + content)) + content

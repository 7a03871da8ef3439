"""Encodes fields of messages in the wire format of protobuf. This module does not know ONNX.

The encoding is described at protobuf.dev/programming-guides/encoding. Only the two kinds of fields that an ONNX file
needs are here: whole numbers, and fields that have a length (strings, bytes and messages).
"""

from typing import Final

from charloom.store.atomic_files import Block

Message = list[Block]  # consecutive blocks of bytes, some of which share the memory of arrays

VARINT: Final = 0  # wire type of a whole number
LENGTH: Final = 2  # wire type of a field whose length in bytes precedes its bytes


def number_field(field: int, value: int) -> Message:
    """Return the field number `field` of a message, a whole number from 0 on."""
    return [_varint(field << 3 | VARINT) + _varint(value)]


def string_field(field: int, text: str) -> Message:
    """Return the field number `field` of a message, a string."""
    return message_field(field, [text.encode()])


def message_field(field: int, content: Message) -> Message:
    """Return the field number `field` of a message, which is itself a message, or bytes. Does not copy `content`."""
    length = sum(map(len, content))
    return [_varint(field << 3 | LENGTH) + _varint(length), *content]


def _varint(value: int) -> bytes:
    """Return a whole number from 0 on as a varint: 7 bits per byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])

#!/usr/bin/env python3
"""Writes the inputs that fuzzing begins with: fuzz/corpus/TARGET/seed-NAME. Committed, as is what it writes.

What the fuzzer finds to be new lands beside them under other names and is not committed.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, seeds):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("seed-*"):
        old.unlink()
    for name, data in seeds.items():
        (directory / f"seed-{name}").write_bytes(data)


ENVELOPES = {
    "plain": b'{"type":"call.responded","id":"uuid-123","payload":{"output":42}}',
    "spaced": b' {\t"id" : "",\r\n"type" : "a" , "x" : [ ] , "payload" : [ 1 , -0.5e+10 , true , false , null ] } ',
    "escaped": b'{"t\\u0079pe":"\\"\\\\\\/\\b\\f\\n\\r\\t","i\\u0064":"\\ud83d\\ude00\xc3\xa4","payload":"\\ud800"}',
    "deep": b'{"type":"a","id":"","payload":' + b"[" * 20 + b"{}" + b"]" * 20 + b"}",
    "twice": b'{"type":"a","id":"b","payload":{"type":"","type":0},"payload":1}',
    "reserved": b'{"type":"a","id":"b","__x":0}',
    "subscribe": b'{"type":"__subscribe","id":"","payload":{"topic":"a:b"}}',
    "denied": b'{"type":"__denied","id":"","payload":{"topic":"a:b","action":"subscribe","reason":"draining"}}',
    "gap": b'{"type":"__gap","id":"","payload":{"missed":null,"reason":"broker"}}',
    "pong": b'{"type":"__pong","id":"","payload":{"echo":{"n":7},"protocol":1,"features":[]}}',
    "close": b'{"type":"__close","id":"","payload":{"code":1013,"reason":""}}',
    "array": b'["type","id"]',
    "mark": b'\xef\xbb\xbf{"type":"a","id":""}',
    "trailing": b'{"type":"a","id":""}{"type":"a","id":""}',
}
# The first byte chooses the limits: 0 the default ones.
write("check", {name: b"\0" + text for name, text in ENVELOPES.items()} | {"shallow": b"\x21" + ENVELOPES["deep"]})


def prefixed(*messages):
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


# The first byte chooses the limit, the second the length of the pieces.
write(
    "length_prefix",
    {
        "frames": b"\xff\x06" + prefixed(*ENVELOPES.values()),
        "bytewise": b"\x40\x00" + prefixed(b"a", b"b" * 64, b"c"),
        "limit": b"\x40\xff" + prefixed(b"b" * 64, b"c" * 65),
        "empty": b"\x40\x02" + prefixed(b"a", b"", b"b"),
        "half": b"\xff\x03" + prefixed(b"a", b"b" * 40)[:-7],
        "huge": b"\xff\xff" + prefixed(b"a") + b"\xff" * 9,
    },
)

KEY = bytes([0x37, 0xFA, 0x21, 0x3D])


def frame(first, payload, masked=True):
    length = len(payload)
    mask = 0x80 if masked else 0
    if length <= 125:
        header = bytes([first, mask | length])
    elif length < 1 << 16:
        header = bytes([first, mask | 126]) + struct.pack(">H", length)
    else:
        header = bytes([first, mask | 127]) + struct.pack(">Q", length)
    if not masked:
        return header + payload
    return header + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))


def talk(masked):
    return (
        frame(0x81, ENVELOPES["subscribe"], masked)
        + frame(0x89, b"ping", masked)
        + frame(0x01, b'{"type":"a",', masked)
        + frame(0x8A, b"", masked)
        + frame(0x00, b"", masked)
        + frame(0x80, b'"id":""}', masked)
        + frame(0x82, b"b" * 200, masked)
        + frame(0x88, struct.pack(">H", 1000) + b"bye", masked)
    )


# The lowest bit of the first byte chooses the role, the rest the limit; the second the length of the pieces.
write(
    "websocket_frame",
    {
        "server": b"\xfe\x04" + talk(True),
        "client": b"\xff\x04" + talk(False),
        "bytewise": b"\xfe\x00" + talk(True),
        "unmasked": b"\xfe\xff" + talk(False),
        "long": b"\xfe\xff" + frame(0x81, b"x" * 1016) + frame(0x81, b"x" * 1017),
        "half": b"\xfe\x10" + frame(0x81, b"x" * 300)[:150],
        "close": b"\xfe\x10" + frame(0x88, b"\x03"),
    },
)

# One call a byte, most of them with a second one for link and topic.
write(
    "hub",
    {
        "talk": bytes.fromhex("00 00 00 04 10 04 11 05 12 09 10 0a 11 01 0c 00 0c 01 0c 01 08 10 09 10 03 01 01"),
        "denied": bytes.fromhex("00 04 50 04 60 04 70 04 00 04 10 04 20 04 30 07 00 0f 80 0f 00 02 ff 04 40 01"),
        "finish": bytes.fromhex("00 00 04 10 04 11 09 10 0e 40 09 10 0e c1 09 10 00 00 00 00 02 00 00 01 0c 00"),
    },
)

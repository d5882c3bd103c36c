"""A child in Python, with the standard library alone: answers each `said` with a `shouted`."""

import json
import os
import struct
import sys

# The link's; what is printed goes to standard error from here on.
source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


def send(event_type, event_id, payload):
    text = json.dumps({"type": event_type, "id": event_id, "payload": payload}).encode()
    sink.write(struct.pack(">I", len(text)) + text)
    sink.flush()


while len(header := source.read(4)) == 4:
    message = json.loads(source.read(*struct.unpack(">I", header)))
    match message["type"]:
        case "__ping":
            send("__pong", "", {"echo": message["payload"], "protocol": 1, "features": []})
        case "__close":
            send("__close", "", {"code": message["payload"]["code"], "reason": ""})
            break
        case "said":
            print("heard", message["id"], flush=True)
            send("shouted", message["id"], message["payload"].upper())
# The link has ended, with or without a `__close`: so does the child.

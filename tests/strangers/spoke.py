"""A spoke in Python, with `websockets` and nothing else.

python spoke.py URL say TYPE ID PAYLOAD      sends one event, prints the text that was sent
python spoke.py URL hear TYPE ID             prints "open", then the text of each event, until it is ended
python spoke.py URL subscribe TYPE ID        the same, after it has subscribed and been told so
"""

import json
import sys

from websockets.sync.client import connect

url, role, event_type, event_id, *payload = sys.argv[1:]
listeners = {}

with connect(url) as ws:

    def send(envelope):
        text = json.dumps(envelope, ensure_ascii=False)
        ws.send(text)
        return text

    if role == "say":
        print(send({"type": event_type, "id": event_id, "payload": json.loads(payload[0])}))
    else:
        topic = f"{event_type}:{event_id}"
        listeners[topic] = lambda text: print(text, flush=True)
        listeners["__subscribed:"] = lambda text: print("open", flush=True)
        if role == "subscribe":
            send({"type": "__subscribe", "id": "", "payload": {"topic": topic}})
        else:
            print("open", flush=True)
        for text in ws:
            envelope = json.loads(text)
            listeners.get(f"{envelope['type']}:{envelope['id']}", lambda text: None)(text)

"""A subscriber that checks each call with the reference `standardwebhooks` library and misbehaves at times.

Prints `port N`, then a line of JSON for each call: event number, patient, whether the signature holds, answer.
"""
import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

dice = random.Random(int(sys.argv[2]))
webhook = Webhook(sys.argv[1])


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
            signed = True
        except Exception:
            signed = False
        bundle = json.loads(body)
        said = {one["name"]: one for one in bundle["entry"][0]["resource"]["parameter"]}
        kind = said["type"]["valueCode"]
        mood = dice.choice(["dies", "500", "503", "slow"] + ["ok"] * 12) if kind == "event-notification" else "ok"
        line = {"kind": kind, "number": int(said["events-since-subscription-start"]["valueString"]),
                "signed": signed, "mood": mood, "id": self.headers["webhook-id"]}
        if len(bundle["entry"]) > 1:
            line["patient"] = bundle["entry"][1]["resource"]["subject"]["reference"]
        # One write: calls come on several threads, and a line is a line.
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if mood == "dies":
            self.close_connection = True
            return
        if mood == "slow":
            time.sleep(0.05)
        self.send_response({"500": 500, "503": 503}.get(mood, 200))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
print("port", server.server_address[1], flush=True)
server.serve_forever()

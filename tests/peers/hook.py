"""Subscribers that check each call with the reference `standardwebhooks` library and misbehave at times.

Arguments: the secret, a seed, a port (0: any). Each endpoint has manners of its own, by its path:
  /mixed  dies, hangs, redirects, answers 500, 503, late, or with a body of 5 GB
  /gone   takes five events, then answers 410 for ever
  /slow   takes its time over the handshake
Prints `port N`, then a line of JSON for each call: path, event number, patient, whether the signature holds, mood.
"""
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

dice = random.Random(int(sys.argv[2]))
webhook = Webhook(sys.argv[1])
BAD = ["dies", "hangs", "500", "503", "302", "endless", "slow"]
taken = set()
lock = threading.Lock()


def mood_of(path, kind, number):
    if kind != "event-notification":
        return "slow" if path == "/slow" else "ok"
    if path == "/gone":
        with lock:
            if len(taken) >= 5 and number not in taken:
                return "410"
            taken.add(number)
        return "ok"
    return dice.choice(BAD + ["ok"] * 30) if path == "/mixed" else "ok"


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
        number = int(said["events-since-subscription-start"]["valueString"])
        mood = mood_of(self.path, kind, number)
        line = {"path": self.path, "kind": kind, "number": number, "signed": signed, "mood": mood,
                "id": self.headers["webhook-id"]}
        if len(bundle["entry"]) > 1:
            resource = bundle["entry"][1]["resource"]
            line["patient"] = resource["subject"]["reference"]
            line["value"] = resource["valueInteger"]
        # One write: calls come on several threads, and a line is a line.
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if mood == "dies":
            self.close_connection = True
            return
        if mood == "hangs":
            time.sleep(5)
            self.close_connection = True
            return
        if mood == "slow":
            time.sleep(0.3)
        self.send_response({"500": 500, "503": 503, "302": 302, "410": 410}.get(mood, 200))
        if mood == "302":
            self.send_header("location", "http://127.0.0.1:1/")
        self.send_header("content-length", str(5 << 30) if mood == "endless" else "0")
        self.end_headers()
        if mood == "endless":
            self.close_connection = True
            try:
                for _ in range(5 << 14):
                    self.wfile.write(b"x" * (1 << 16))
            except OSError:
                pass

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", int(sys.argv[3])), Hook)
print("port", server.server_address[1], flush=True)
server.serve_forever()

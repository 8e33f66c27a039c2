#!/usr/bin/env python3
"""Prints how much memory a host has while it waits, with one session and with 16, and after it carried something.

usage: packaging/memory.py BINARY CLIENT [QEMU...]

BINARY is the host, CLIENT a pinhole that runs here without qemu. With a 32-bit BINARY and the words of QEMU, the guest
is put at an address of its own, and only what is resident there is counted: its pages, and none of qemu's.
"""

import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BASE = 0x200000000
SIZE = 1 << 32
MEGABYTES = 64


class Service(BaseHTTPRequestHandler):
    """Answers with as many bytes as the path says."""

    def do_GET(self):
        length = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for _ in range(length // 65536):
            self.wfile.write(bytes(65536))

    def log_message(self, *_):
        pass


class Pinhole:
    """A process, and the events that it prints."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def wait_for(self, *tests):
        """Reads events until each test held for one of them, and returns these."""
        found = {}
        for line in self.process.stdout:
            event = json.loads(line)
            found.update((test, event) for test in tests if test(event))
            if len(found) == len(tests):
                return [found[test] for test in tests]
        raise SystemExit("a pinhole ended too early")

    def resident(self, is_guest):
        """Returns the resident kilobytes of the process: all, and those that no file holds."""
        total = anonymous = counted = 0
        with open(f"/proc/{self.process.pid}/smaps", encoding="ascii") as maps:
            for line in maps:
                name = line.split()[0]
                if not name.endswith(":"):
                    start, end = (int(part, 16) for part in name.split("-"))
                    counted = not is_guest or (BASE <= start and end <= BASE + SIZE)
                elif counted and name == "Rss:":
                    total += int(line.split()[1])
                elif counted and name == "Anonymous:":
                    anonymous += int(line.split()[1])
        return total, anonymous


def main():
    binary, client, *qemu = sys.argv[1:]
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    runner = [*qemu, "-B", hex(BASE)] if qemu else []
    host = Pinhole(*runner, binary, "host", f"web=127.0.0.1:{service.server_port}", "--no-stun", "--json")
    [listening] = host.wait_for(lambda event: event["event"] == "listening")
    clients = []

    def join():
        other = Pinhole(client, "client", listening["url"], "web=0", "--no-stun", "--json")
        clients.append(other)
        forwarding, _ = other.wait_for(
            lambda event: event["event"] == "forwarding", lambda event: event.get("path") == "direct"
        )
        return forwarding["local"]

    def say(when):
        total, anonymous = host.resident(bool(qemu))
        print(f"{when}: {total / 1024:.1f} MiB resident, {anonymous / 1024:.1f} MiB of it not of the file", flush=True)

    say("waiting")
    local = join()
    say("1 session")
    while len(clients) < 16:
        join()
    say("16 sessions")
    with urllib.request.urlopen(f"http://{local}/{MEGABYTES * 1024 * 1024}") as answer:
        while answer.read(65536):
            pass
    say(f"16 sessions, after {MEGABYTES} MiB through one")
    for process in [*clients, host]:
        process.process.terminate()
        process.process.wait()


main()

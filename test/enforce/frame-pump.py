"""
Sends and receives Ethernet frames on one interface, as its parent says: JSON lines on standard input, one answer line each on
standard output. It runs in a network namespace of a test (namespaces.ts), never on a machine's own interfaces. Python's
standard library only, since Node has no raw sockets.

  {"do": "send", "frames": [HEX], "last": HEX}   sends all, then `last`, an echo request; answers {"sent": N} once its reply is here.
                                               Whatever the router made of the frames is then in the receivers' buffers, because
                                               all pumps share one CPU, whose queue of frames keeps its order.
  {"do": "drain"}                              answers {"seen": {ID: [COUNT, FIRST_NS, LAST_NS, HEX]}}: the frames with a mark that came in
                                               since the last drain, by the number in the mark, with times of CLOCK_MONOTONIC and
                                               the first frame's bytes.
  {"do": "stream", "frames": [HEX], "rate": N}   sends the frames over and over, N a second, until "stop"; answers {}.
  {"do": "stop"}                               answers {"sent": N}: whole rounds, so that each frame went out equally often.

A mark is the four bytes "RCmk" and a number of four bytes, big-endian, anywhere in the frame, so also in an ICMP error that quotes it.
"""

import json
import os
import select
import socket
import struct
import sys
import time

MARK = b"RCmk"
ECHO_TIMEOUT_S = 5
RECEIVE_BUFFER_BYTES = 256 << 20  # a stream of a minute fits, even if nobody drains
ALL_ETHERTYPES = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
BURST_FRAMES = 64  # sent between two looks at the clock and at what came in


class Pump:
    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_ETHERTYPES))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((interface, 0))
        self.socket.setblocking(False)
        self.seen = {}
        self.frames = []
        self.interval_s = 0.0
        self.started_s = 0.0
        self.rounds = 0

    def transmit(self, frame):
        while True:
            try:
                self.socket.send(frame)
                return
            except BlockingIOError:
                select.select([], [self.socket], [])

    def receive(self):
        """Takes in all that waits; returns the last frame's mark number, for `send`."""
        numbers = set()
        while True:
            try:
                frame = self.socket.recv(65536)
            except BlockingIOError:
                return numbers
            at = frame.find(MARK)
            if at < 0 or len(frame) < at + 8:
                continue
            (number,) = struct.unpack_from(">I", frame, at + 4)
            numbers.add(number)
            now = time.monotonic_ns()
            record = self.seen.get(number)
            if record is None:
                self.seen[number] = [1, now, now, frame.hex()]
            else:
                record[0] += 1
                record[2] = now

    def send(self, frames, last):
        for frame in frames:
            self.transmit(bytes.fromhex(frame))
        last = bytes.fromhex(last)
        (number,) = struct.unpack_from(">I", last, last.find(MARK) + 4)
        self.transmit(last)
        deadline = time.monotonic() + ECHO_TIMEOUT_S
        while number not in self.receive():
            left = deadline - time.monotonic()
            if left <= 0:
                return {"error": "the router did not answer the echo request"}
            select.select([self.socket], [], [], left)
        self.seen.pop(number, None)
        return {"sent": len(frames)}

    def continue_stream(self):
        """Sends whole rounds until the schedule is met, or a burst is out; returns how long there is nothing to do."""
        due_s = self.started_s + self.rounds * self.interval_s
        sent = 0
        while due_s <= time.monotonic() and sent < BURST_FRAMES:
            for frame in self.frames:
                self.transmit(frame)
            self.rounds += 1
            sent += len(self.frames)
            due_s += self.interval_s
        return max(0.0, due_s - time.monotonic())

    def answer(self, command):
        what = command["do"]
        if what == "send":
            return self.send(command["frames"], command["last"])
        if what == "drain":
            self.receive()
            seen, self.seen = self.seen, {}
            return {"seen": seen}
        if what == "stream":
            self.frames = [bytes.fromhex(frame) for frame in command["frames"]]
            self.interval_s = len(self.frames) / command["rate"]
            self.started_s = time.monotonic()
            self.rounds = 0
            return {}
        if what == "stop":
            sent = self.rounds * len(self.frames)
            self.frames = []
            return {"sent": sent}
        return {"error": "unknown command"}


def main():
    os.sched_setaffinity(0, {0})
    pump = Pump(sys.argv[1])
    stdin = sys.stdin.fileno()
    pending = b""
    while True:
        idle_s = pump.continue_stream() if pump.frames else None
        readable, _, _ = select.select([stdin, pump.socket], [], [], idle_s)
        if pump.socket in readable:
            pump.receive()
        if stdin not in readable:
            continue
        chunk = os.read(stdin, 1 << 20)
        if not chunk:
            return
        pending += chunk
        while (end := pending.find(b"\n")) >= 0:
            line, pending = pending[:end], pending[end + 1 :]
            print(json.dumps(pump.answer(json.loads(line))), flush=True)


main()

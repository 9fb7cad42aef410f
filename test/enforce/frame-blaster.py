"""
Sends frames on one interface as fast as the kernel takes them: frame-blaster.py INTERFACE SECONDS, the frames as lines of hex on
standard input. Ends after the seconds, or by SIGTERM, and prints how many it sent, in how many seconds, and how many seconds of
processor time that took: the latter says more on a busy machine. With "turns" in place of the seconds it takes the frames up to an
empty line, and then for each line with a number sends as many rounds of 2,048 frames, and prints the same of them. The frames go out through a ring that is shared with the kernel
(PACKET_TX_RING, packet_mmap), and the kernel walks their whole way to the receiver in this process. Standard library only; it
runs in network namespaces of tests and benches.
"""

import array
import mmap
import os
import signal
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_VERSION, PACKET_TX_RING, PACKET_QDISC_BYPASS = 263, 10, 13, 20
TPACKET_V2 = 1
TP_STATUS_SEND_REQUEST = 1
HEADER_BYTES = 32  # struct tpacket2_hdr, aligned; the frame follows
SLOT_BYTES = 256
BLOCK_BYTES = 65536
SLOTS = 2048


def main():
    os.sched_setaffinity(0, {0})
    frames = [bytes.fromhex(line) for line in iter(lambda: sys.stdin.readline().strip(), "")]
    if not frames or max(map(len, frames)) > SLOT_BYTES - HEADER_BYTES:
        sys.exit("frames of 1 to %d bytes are needed" % (SLOT_BYTES - HEADER_BYTES))
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
    out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    request = struct.pack("IIII", BLOCK_BYTES, SLOTS * SLOT_BYTES // BLOCK_BYTES, SLOT_BYTES, SLOTS)
    out.setsockopt(SOL_PACKET, PACKET_TX_RING, request)
    out.bind((sys.argv[1], 0))
    ring = mmap.mmap(out.fileno(), SLOTS * SLOT_BYTES)
    for slot in range(SLOTS):
        frame = frames[slot % len(frames)]
        struct.pack_into("II", ring, slot * SLOT_BYTES + 4, len(frame), len(frame))
        ring[slot * SLOT_BYTES + HEADER_BYTES : slot * SLOT_BYTES + HEADER_BYTES + len(frame)] = frame
    states = memoryview(ring).cast("I")[:: SLOT_BYTES // 4]
    ready = memoryview(array.array("I", [TP_STATUS_SEND_REQUEST] * SLOTS))
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

    def blast(seconds, rounds):
        used = time.process_time()
        start = now = time.monotonic()
        sent = 0
        while now - start < seconds and sent < rounds * SLOTS and not stopped:
            states[:] = ready
            out.send(b"")
            sent += SLOTS
            now = time.monotonic()
        print(sent, now - start, time.process_time() - used, flush=True)

    if sys.argv[2] != "turns":
        return blast(float(sys.argv[2]), float("inf"))
    for line in sys.stdin:
        blast(float("inf"), int(line))


main()

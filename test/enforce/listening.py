"""As a socket unit of systemd does: binds UDP and TCP port 53 in the network namespace it is in, and becomes the
program that its arguments say, which gets both."""

import os
import socket
import sys

FIRST = 3
RCVBUFFORCE = 33


def bound(kind):
    one = socket.socket(socket.AF_INET6, kind)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 1 << 20)
    one.bind(("::", 53))
    return one


sockets = [bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)]
sockets[1].listen(64)
for number, one in enumerate([os.dup(each.fileno()) for each in sockets]):
    os.dup2(one, FIRST + number + 10)
for number in range(len(sockets)):
    os.dup2(FIRST + number + 10, FIRST + number, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[1], sys.argv[1:])

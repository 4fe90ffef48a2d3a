#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary UDP receiver: writes the payloads to a file in the order they came.

usage: udp_receiver.py ADDR PORT BYTES FILE

Says "ready" once bound. Ends after BYTES bytes, or when nothing came for 5 seconds; then says
"DATAGRAMS BYTES" and how many datagrams the kernel dropped at this socket for want of room.
"""
import socket
import sys


def main() -> int:
    address, port, expected, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    so_rxq_ovfl = 40  # the socket module does not name it
    sock.setsockopt(socket.SOL_SOCKET, so_rxq_ovfl, 1)
    sock.bind((address, port))
    sock.settimeout(5)
    print("ready", flush=True)
    datagrams = received = lost = 0
    with open(path, "wb") as out:
        while received < expected:
            try:
                payload, control, _, _ = sock.recvmsg(65536, 64)
            except socket.timeout:
                break
            out.write(payload)
            datagrams += 1
            received += len(payload)
            for level, kind, data in control:
                if level == socket.SOL_SOCKET and kind == so_rxq_ovfl:
                    lost = int.from_bytes(data[:4], sys.byteorder)
    print(datagrams, received, lost, flush=True)
    return 0 if received == expected else 1


if __name__ == "__main__":
    sys.exit(main())

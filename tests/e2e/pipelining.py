#!/usr/bin/env -S python3 -B
"""pipelining: replies to a group of commands go out together (RFC 2920 3.2)."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import equal, main, test
from server import Server

DATA_SEGS_IN = 152      # where struct tcp_info has tcpi_data_segs_in


def segments(c):
    """How many segments with octets in them have come to the client."""
    return struct.unpack_from("I", c.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), DATA_SEGS_IN)[0]


@test
def replies_of_a_group_come_together():
    with Server() as s:
        c = s.client()
        c.hello()
        had = segments(c)
        c.send(b"MAIL FROM:<s@example.com>\r\n" + b"RCPT TO:<alice@example.org>\r\n" * 20 + b"RSET\r\nNOOP\r\n")
        for code in [250] * 23:
            c.reply().is_(code)
        equal(segments(c) - had, 1, "segments of 23 replies")
        had = segments(c)
        for _ in range(3):
            c.cmd("NOOP").is_(250)
        equal(segments(c) - had, 3, "segments of 3 replies that are waited for")
        c.quit()


main()

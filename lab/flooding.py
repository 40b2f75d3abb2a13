"""UDP packets at a rate, for a bench: python -m lab.flooding ADDRESS PORT RATE SECONDS. Prints how many were sent.

Run inside a namespace of the bench. A rate of 0 is as many as one process can.
"""

import socket
import sys
import time

_BATCH_SECONDS = 0.002
_PAYLOAD = bytes(100)


def flood(address: str, port: int, rate: int, seconds: float) -> int:
    """Send, in small batches, so that the pace is even; returns how many the kernel took."""
    sent, begun = 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect((address, port))
        while (elapsed := time.monotonic() - begun) < seconds:
            due = int(rate * elapsed) if rate else sent + 200
            while sent < due:
                link.send(_PAYLOAD)
                sent += 1
            if rate:
                time.sleep(_BATCH_SECONDS)
    return sent


if __name__ == "__main__":
    print(flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))  # noqa: T201  its result

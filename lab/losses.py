"""What two tapes say when they are laid side by side. Pure.

Owns the judgement: which packets were lost, what an outage is, when it began. Never starts or touches a
process.

    first_blocked(samples)   # -> Outage(first_lost_ns=..., last_delivered_ns=..., packets=212) or None
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.tapes import CAPACITY, Tape

# One lost packet is a stray; this many in a row over this time are an outage.
OUTAGE_PACKETS = 4
OUTAGE_NS = 50_000_000
# TCP sends lost records again: one that comes this late was blocked when it was sent.
LATE_NS = 200_000_000


@dataclass(frozen=True)
class Sample:
    """One packet: when it was sent, and whether it arrived."""

    sent_ns: int
    delivered: bool


@dataclass(frozen=True)
class Outage:
    """An unbroken run of lost packets, and the arrivals before and after it: 0 where there was none."""

    first_lost_ns: int
    last_lost_ns: int
    last_delivered_ns: int
    next_delivered_ns: int
    packets: int

    @property
    def lasting(self) -> bool:
        """Long enough to be no stray loss."""
        return self.packets >= OUTAGE_PACKETS and self.last_lost_ns - self.first_lost_ns >= OUTAGE_NS


def newest_first(sent: Tape, received: Tape, stream: int, horizon_ns: int, *, resends: bool) -> Iterator[Sample]:
    """The packets of a stream that were sent before the horizon, back to the oldest that is remembered.

    The horizon is a time up to which the receiver has surely noted everything.
    """
    newest = sent.next_sequence(stream) - 1
    for sequence in range(newest, max(-1, newest - CAPACITY + 1), -1):
        sent_ns = sent.read(stream, sequence)
        if not sent_ns:
            return
        if sent_ns <= horizon_ns:
            arrived_ns = received.read(stream, sequence)
            late = resends and arrived_ns - sent_ns > LATE_NS
            yield Sample(sent_ns, delivered=arrived_ns > 0 and not late)


def first_blocked(samples: Iterable[Sample]) -> Outage | None:
    """The outage that lasts to the newest sample; None while packets arrive or it is too short to tell.

    `samples` come newest first, and no more of them are read than needed.
    """
    lost: list[Sample] = []
    last_delivered_ns = 0
    for sample in samples:
        if sample.delivered:
            last_delivered_ns = sample.sent_ns
            break
        lost.append(sample)
    if not lost:
        return None
    outage = Outage(lost[-1].sent_ns, lost[0].sent_ns, last_delivered_ns, 0, len(lost))
    return outage if outage.lasting else None


def runs(samples: Iterable[Sample]) -> Iterator[Outage]:
    """Every run of lost packets, newest first, strays included."""
    first = last = packets = next_delivered = 0
    for sample in samples:
        if not sample.delivered:
            first, last, packets = sample.sent_ns, last if packets else sample.sent_ns, packets + 1
            continue
        if packets:
            yield Outage(first, last, sample.sent_ns, next_delivered, packets)
        next_delivered, packets = sample.sent_ns, 0
    if packets:
        yield Outage(first, last, 0, next_delivered, packets)

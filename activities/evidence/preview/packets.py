"""A capture in numbers: how much, when, who with whom, by what, and how much of it came after the cut.

Owns the counting. Memory stays bounded however long the capture is: what is beyond a bound is counted as others.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from activities.evidence.preview.dissection import Dissector, Seen, dns_name
from activities.evidence.preview.documents import Conversation, PacketsPreview, PreviewRequest, Share
from activities.evidence.preview.inert import LONG_LIMIT, shown
from activities.evidence.preview.packet_blocks import Capture, Packet
from activities.evidence.preview.reading import Deadline
from activities.evidence.preview.series import Counting

MAX_CONVERSATIONS = 20_000
MAX_NAMES = 2_000
_SHOWN = 100
_LOOK_AT_CLOCK = 2_048
_SYN, _SYN_ACK = 0x02, 0x12


@dataclass
class _Talk:
    client: str
    server: str
    service: str
    packets: int = 0
    octets: int = 0
    to_server: int = 0
    opened: int = 0
    after_cut: int = 0
    first: float = 0
    last: float = 0


@dataclass
class _Tally:
    cut_at: float | None
    packets: int = 0
    octets: int = 0
    before: int = 0
    undissected: int = 0
    beyond: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    series: Counting = field(default_factory=lambda: Counting(("packets", "octets")))
    talks: dict[tuple[str, str, str], _Talk] = field(default_factory=dict)
    protocols: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    talkers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    names: dict[str, list[int]] = field(default_factory=dict)

    def add(self, packet: Packet, seen: Seen | None) -> None:
        """Count one packet."""
        at, length = packet.at, packet.length
        self.packets += 1
        self.octets += length
        self.first, self.last = min(self.first, at), max(self.last, at)
        counts = self.series.at(at)
        counts[0] += 1
        counts[1] += length
        after = self.cut_at is not None and at >= self.cut_at
        self.before += not after
        if seen is None:
            self.undissected += 1
            return
        _count(self.protocols, seen.protocol, length)
        if not seen.source:
            return
        if seen.source in self.talkers or len(self.talkers) < MAX_CONVERSATIONS:
            _count(self.talkers, seen.source, length)
        self._talk(packet, seen, after=after)

    def _talk(self, packet: Packet, seen: Seen, *, after: bool) -> None:
        key = (seen.client, seen.server, seen.service)
        talk = self.talks.get(key)
        if talk is None:
            if len(self.talks) >= MAX_CONVERSATIONS:
                self.beyond += 1
                return
            talk = self.talks[key] = _Talk(*key, first=packet.at, last=packet.at)
        talk.packets += 1
        talk.octets += packet.length
        talk.to_server += seen.to_server
        talk.after_cut += after
        talk.first, talk.last = min(talk.first, packet.at), max(talk.last, packet.at)
        octets = packet.octets
        if seen.flags_at and len(octets) > seen.flags_at and octets[seen.flags_at] & _SYN_ACK == _SYN:
            talk.opened += 1
        if seen.dns_at:
            self._asked(dns_name(octets[seen.dns_at :]), packet.length)

    def _asked(self, name: str, length: int) -> None:
        if name in self.names or len(self.names) < MAX_NAMES:
            counts = self.names.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += length


def preview_packets(capture: Capture, request: PreviewRequest, deadline: Deadline) -> tuple[PacketsPreview, list[str]]:
    """The capture, and what is missing from it."""
    tally, dissector = _Tally(request.cut_at), Dissector()
    for packet in capture.packets():
        tally.add(packet, dissector.see(packet.linktype, packet.octets))
        if tally.packets % _LOOK_AT_CLOCK == 0 and deadline.passed():
            break
    notes = [capture.damage] if capture.damage else []
    if tally.beyond:
        notes.append(f"{tally.beyond:,} packets belong to conversations beyond the first {MAX_CONVERSATIONS:,}.")
    return _document(tally, capture, request.q.lower()), notes


def _document(tally: _Tally, capture: Capture, needle: str) -> PacketsPreview:
    talks = [talk for talk in tally.talks.values() if needle in f"{talk.client} {talk.server} {talk.service}".lower()]
    known = tally.cut_at is not None
    return PacketsPreview(
        packets=tally.packets,
        octets=tally.octets,
        first=moment(tally.first),
        last=moment(tally.last),
        before_cut=tally.before if known else None,
        after_cut=tally.packets - tally.before if known else None,
        interfaces=tuple(shown(name) for name in capture.names[:20] if name),
        comment=shown(capture.comment, LONG_LIMIT),
        undissected=tally.undissected,
        protocols=_shares(tally.protocols, 20),
        talkers=_shares(tally.talkers, 15),
        conversations=tuple(map(_conversation, sorted(talks, key=lambda talk: -talk.octets)[:_SHOWN])),
        conversations_total=len(talks),
        names=_shares({name: counts for name, counts in tally.names.items() if name}, 50),
        series=tally.series.result(),
    )


def moment(at: float) -> datetime | None:
    """A moment as people read it; None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _count(counts: dict[str, list[int]], name: str, length: int) -> None:
    found = counts[name]
    found[0] += 1
    found[1] += length


def _shares(counts: dict[str, list[int]], most: int) -> tuple[Share, ...]:
    largest = sorted(counts.items(), key=lambda found: -found[1][1])[:most]
    return tuple(Share(name=shown(name), packets=packets, octets=octets) for name, (packets, octets) in largest)


def _conversation(talk: _Talk) -> Conversation:
    return Conversation(
        client=talk.client,
        server=talk.server,
        service=shown(talk.service),
        packets=talk.packets,
        octets=talk.octets,
        to_server=talk.to_server,
        to_client=talk.packets - talk.to_server,
        opened=talk.opened,
        after_cut=talk.after_cut,
        first=moment(talk.first),
        last=moment(talk.last),
    )

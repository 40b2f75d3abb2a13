"""What a witness measures of another host, and what a contained host measures of its lifeline.

Owns the verdict on each probe: `cut`, `open`, or `unknown` when the witness itself can't tell. Never a
verdict on the containment as a whole: that is `playbooks.proof`. What is measured takes as long as the
longest probe, not the sum.

    probe_peers(order, witness="db")   # -> (Measurement(aspect="new", result="cut", ...), ...)
"""

import socket
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address

from activities.contracts.probing import ProbeOrder, ProbeTarget
from activities.host.connects import Address, Attempt, connect_all
from activities.host.silence import Endpoint, Listener
from activities.host.sockets import ESTABLISHED, Socket, list_sockets
from playbooks.host_isolation import LifelineEndpoint
from playbooks.proof import Aspect, Measurement, Result
from segmentation.bounds import cut

PERMISSIONS = ("CAP_NET_RAW", "CAP_NET_ADMIN")
LIFELINE_TIMEOUT_MS = 300
# A session that has not moved for so long may be dead without anybody's doing: its silence proves nothing.
_IDLE_MS = 600_000
# Together no more than an answer has, in number and in bytes.
_MOST_NEW, _MOST_BYSTANDERS, _DETAIL_LENGTH = 128, 96, 300
_NO_PORT = "no port of the host is known to connect to"


def probe_peers(order: ProbeOrder, witness: str) -> tuple[Measurement, ...]:
    """Connect to the subject, to the controls, and listen for the subject meanwhile."""
    addresses = frozenset(target.address for target in order.subject)
    ignored = endpoints(order.lifeline)
    begun = time.monotonic()
    with Listener(addresses, ignored) as listener:
        sessions = _sessions(addresses, ignored)
        attempts = _connect(order)
        listener.listen_until(begun + order.silence_ms / 1000)
        heard = listener.heard()
    sessions = {**sessions, **_sessions(addresses, ignored)}
    report = _Report(order, witness)
    controls = [attempts[key] for target in order.bystanders for key in _keys(target)]
    new = [report.new(attempts[key], controls) for target in order.subject for key in _keys(target)]
    bystanders = [report.bystander(t.host_id, attempts[key]) for t in order.bystanders for key in _keys(t)]
    return (
        *(summed_up(new, _MOST_NEW) or [report.of("new", "unknown", "tcp-connect", _NO_PORT)]),
        report.established(tuple(sessions.values()), heard.total()),
        report.ipv6(new, heard[6]),
        *summed_up(bystanders, _MOST_BYSTANDERS),
    )


def probe_lifeline(
    lifeline: Iterable[LifelineEndpoint], host_id: str, *, timeout_ms: int = LIFELINE_TIMEOUT_MS
) -> tuple[Measurement, ...]:
    """Connect to every TCP endpoint of the lifeline from here. Refused is dead: nobody listens there."""
    wanted = [(endpoint.address, endpoint.port) for endpoint in lifeline if endpoint.protocol == "tcp"]
    return tuple(
        Measurement(
            aspect="lifeline",
            result="open" if attempt.outcome == "connected" else "cut",
            method=attempt.method,
            witness=host_id,
            subject=host_id,
            measured_at=datetime.now(UTC),
            detail=_in_words(attempt),
        )
        for attempt in connect_all(wanted, timeout_ms=timeout_ms)
    )


def summed_up(measured: Sequence[Measurement], most: int) -> list[Measurement]:
    """As many as an answer has room for; of the rest one, with what is worst for the proof."""
    if len(measured) <= most:
        return list(measured)
    kept, rest = measured[: most - 1], measured[most - 1 :]
    # `open` is bad news of the contained host, and good news of a bystander.
    worst: tuple[Result, ...] = ("open", "unknown", "cut") if rest[0].aspect == "new" else ("cut", "unknown", "open")
    first = min(rest, key=lambda one: worst.index(one.result))
    detail = cut(f"the worst of {len(rest)} that are not told one by one: {first.detail}")
    return [*kept, first.model_copy(update={"detail": detail})]


def endpoints(lifeline: Iterable[LifelineEndpoint]) -> frozenset[Endpoint]:
    """The lifeline as address, port and protocol."""
    return frozenset((endpoint.address, endpoint.port, endpoint.protocol) for endpoint in lifeline)


class _Report:
    """Turns what was seen into measurements of one subject by one witness."""

    def __init__(self, order: ProbeOrder, witness: str) -> None:
        self._order, self._witness = order, witness
        self._subject = order.subject[0].host_id

    def of(self, aspect: Aspect, result: Result, method: str, detail: str, *, applicable: bool = True) -> Measurement:
        return Measurement(
            aspect=aspect,
            result=result,
            method=method,
            witness=self._witness,
            subject=self._subject,
            measured_at=datetime.now(UTC),
            detail=cut(detail, _DETAIL_LENGTH),
            applicable=applicable,
        )

    def new(self, attempt: Attempt, controls: Sequence[Attempt]) -> Measurement:
        """`cut` only if something of the same family did answer the witness."""
        alike = [control for control in controls if control.address.version == attempt.address.version]
        said = _in_words(attempt)
        if attempt.reached:
            return self.of("new", "open", attempt.method, said)
        if attempt.outcome == "failed":
            return self.of("new", "unknown", attempt.method, f"{said}: the witness could not send")
        if alike and not any(control.reached for control in alike):
            failed = ", ".join(f"{control.method} {_in_words(control)}" for control in alike)
            return self.of("new", "unknown", attempt.method, f"{said}, but so do the controls: {failed}")
        return self.of("new", "cut", attempt.method, said if alike else f"{said}; no control to compare with")

    def established(self, sessions: Sequence[Socket], heard: int) -> Measurement:
        method = f"silence {self._order.silence_ms} ms"
        if heard:
            return self.of("established", "open", method, f"{heard} packets heard")
        moving = [found for found in sessions if _moves(found)]
        if not moving:
            idle = f"; {len(sessions)} idle for more than {_IDLE_MS // 60_000} minutes" if sessions else ""
            return self.of("established", "unknown", method, f"no established session to judge by{idle}")
        latest = min(found.heard_ms_ago or 0 for found in moving)
        detail = f"nothing heard, with {len(moving)} established sessions; the latest was heard {latest} ms before"
        return self.of("established", "cut", method, detail)

    def ipv6(self, new: Sequence[Measurement], heard: int) -> Measurement:
        keys = [key for target in self._order.subject for key in _keys(target)]
        tried = [result for result, key in zip(new, keys, strict=True) if isinstance(key[0], IPv6Address)]
        method = f"{len(tried)} tcp-connects and silence {self._order.silence_ms} ms over IPv6"
        if not any(isinstance(target.address, IPv6Address) for target in self._order.subject):
            return self.of("ipv6", "unknown", method, "no IPv6 address of the host is known", applicable=False)
        if heard or any(result.result == "open" for result in tried):
            answered = sum(result.result == "open" for result in tried)
            return self.of("ipv6", "open", method, f"{answered} connects answered, {heard} packets heard")
        if not tried or any(result.result != "cut" for result in tried):
            why = "; ".join(result.detail for result in tried if result.result != "cut")
            return self.of("ipv6", "unknown", method, why or _NO_PORT)
        return self.of("ipv6", "cut", method, "no connect answered, nothing heard")

    def bystander(self, host_id: str, attempt: Attempt) -> Measurement:
        result: Result = "open" if attempt.reached else "unknown" if attempt.outcome == "failed" else "cut"
        measured = self.of("bystander", result, attempt.method, _in_words(attempt))
        return measured.model_copy(update={"subject": host_id})


def _connect(order: ProbeOrder) -> dict[tuple[Address, int], Attempt]:
    keys = list(dict.fromkeys(key for target in (*order.subject, *order.bystanders) for key in _keys(target)))
    return dict(zip(keys, connect_all(keys, timeout_ms=order.connect_timeout_ms), strict=True))


def _keys(target: ProbeTarget) -> list[tuple[Address, int]]:
    return [(target.address, port) for port in target.tcp_ports]


def _sessions(addresses: Collection[Address], ignored: Collection[Endpoint]) -> dict[bytes, Socket]:
    """Established TCP sessions with the subject by the kernel's cookie, without those of the lifeline."""
    return {
        found.raw_id: found
        for found in list_sockets()
        if found.state == ESTABLISHED and found.protocol == socket.IPPROTO_TCP and found.remote in addresses
        and (found.local, found.local_port, "tcp") not in ignored
    }  # fmt: skip


def _moves(session: Socket) -> bool:
    return bool(session.unacknowledged) or (session.heard_ms_ago or 0) < _IDLE_MS


def _in_words(attempt: Attempt) -> str:
    return f"{attempt.outcome} after {attempt.took_ms:g} ms" + (f" ({attempt.error})" if attempt.error else "")

"""The prober: when did the packets really stop? Seen by neither the agents nor the workflow.

Owns a sender in `web`, a receiver in `app` and the figures drawn from their tapes. Never takes part in the
containment that it measures.

    with Prober(lab) as prober:
        ...
        prober.first_blocked_ns()   # when the first packet that did not get through was sent; None while open
        prober.report().cut         # -> Cut(new=True, established=True, ipv6=True)
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.errors import LabError
from lab.host import LabHost
from lab.losses import Outage, Sample, first_blocked, newest_first, runs
from lab.network import Lab
from lab.tapes import STREAMS, Tape

# What was sent before the receiver began its last look is surely noted; a veth pair delivers within this.
_TRANSIT_NS = 2_000_000


@dataclass(frozen=True)
class Cut:
    """What no longer gets through. `new`: UDP on IPv4; `established`: TCP on both; `ipv6`: UDP and TCP."""

    new: bool
    established: bool
    ipv6: bool


@dataclass(frozen=True)
class ProbeReport:
    """What the prober saw. Times are CLOCK_REALTIME in ns.

    `uncertainty_ns`: from the last packet that arrived to the first that did not; the cut lies in between.
    `rate_per_second`: as really sent on the fastest stream. `stray_losses`: packets lost outside of outages.
    """

    first_blocked_ns: int | None
    uncertainty_ns: int
    rate_per_second: float
    sent: int
    stray_losses: int
    refused_sends: int
    stalls: int
    cut: Cut
    blocked_since_ns: dict[str, int | None]
    outages: tuple[Outage, ...]


class Prober:
    """Numbered packets from `web` to `app`, and what became of them."""

    def __init__(self, lab: Lab, *, rate_per_second: int = 1000) -> None:
        self._lab = lab
        self._rate = rate_per_second
        self._sent = Tape.create()
        self._received = Tape.create()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both ends; returns when packets flow."""
        try:
            self._start_end(self._lab["app"], ["lab.receiving"], self._received)
            self._start_end(self._lab["web"], ["lab.sending", str(self._rate)], self._sent)
        except BaseException:
            self.stop()
            raise

    def _start_end(self, host: LabHost, module: list[str], tape: Tape) -> None:
        log = host.state_dir / "prober.log"
        command = [sys.executable, "-m", *module, str(tape.descriptor)]
        process = host.popen_piped(command, log=log, descriptors=(tape.descriptor,))
        self._processes.append(process)
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise LabError(f"the prober on {host.name} did not start", hint=f"See {log}.")

    def stop(self) -> None:
        """End both ends and forget their tapes. May be called again."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
            process.wait()
        self._sent.close()
        self._received.close()

    def first_blocked_ns(self, *, until_ns: int | None = None) -> int | None:
        """When the first packet of the outage that still lasts was sent (UDP, IPv4).

        None while packets get through or for the first 50 ms, when a stray loss can't be told from a cut.
        With
        `until_ns` the question is asked as of that time. Cheap enough to be asked often.
        """
        return _since(self._blocked("udp4", until_ns))

    def report(self, *, until_ns: int | None = None) -> ProbeReport:
        """All figures, as of now or as of `until_ns`."""
        blocked = {name: self._blocked(name, until_ns) for name in STREAMS}
        samples = list(self._samples("udp4", until_ns))
        lost = tuple(runs(samples))
        first = blocked["udp4"]
        return ProbeReport(
            first_blocked_ns=_since(first),
            uncertainty_ns=first.first_lost_ns - first.last_delivered_ns if first else 0,
            rate_per_second=_rate(samples),
            sent=len(samples),
            stray_losses=sum(run.packets for run in lost if not run.lasting),
            refused_sends=self._sent.errors,
            stalls=self._sent.stalls,
            cut=_cut(blocked),
            blocked_since_ns={name: _since(outage) for name, outage in blocked.items()},
            outages=tuple(run for run in reversed(lost) if run.lasting),
        )

    def _blocked(self, name: str, until_ns: int | None) -> Outage | None:
        self._check()
        return first_blocked(self._samples(name, until_ns))

    def _samples(self, name: str, until_ns: int | None) -> Iterator[Sample]:
        horizon_ns = self._received.heartbeat_ns - _TRANSIT_NS
        if until_ns is not None:
            horizon_ns = min(horizon_ns, until_ns)
        stream, resends = STREAMS.index(name), name.startswith("tcp")
        return newest_first(self._sent, self._received, stream, horizon_ns, resends=resends)

    def _check(self) -> None:
        """A prober that died must not pass for a path that is cut, nor for one that is open."""
        ended = [process for process in self._processes if process.poll() is not None]
        if ended or not self._processes:
            raise LabError("the prober does not run", hint="See prober.log in the folders of web and app.")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _since(outage: Outage | None) -> int | None:
    return outage.first_lost_ns if outage else None


def _rate(samples: list[Sample]) -> float:
    gaps = len(samples) - 1
    return gaps * 1e9 / (samples[0].sent_ns - samples[-1].sent_ns) if gaps > 0 else 0.0


def _cut(blocked: dict[str, Outage | None]) -> Cut:
    gone = {name: outage is not None for name, outage in blocked.items()}
    return Cut(
        new=gone["udp4"],
        established=gone["tcp4"] and gone["tcp6"],
        ipv6=gone["udp6"] and gone["tcp6"],
    )

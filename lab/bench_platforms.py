"""Time to contain in a cluster and in AWS: from the alert's POST to the effect that the platform's own API shows.

Owns what counts as the effect. For a pod: a watch, as a network plugin holds one, shows it under quarantine. For an
instance: reading back shows the quarantine group on every interface. One target and ten of one incident in turn, so
that a slow moment weighs on both.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from statistics import median
from types import TracebackType
from typing import Any, Self

import httpx
import urllib3
from kubernetes import client, watch
from pydantic import Field

from lab.errors import LabError
from lab.platforms import Platforms
from lab.webhook import Sender
from playbooks.kubernetes.marks import QUARANTINE
from segmentation.workloads import Frozen

MANY = 10
CUT_SECONDS = 30.0
# Of an instance each look is a call like those that cut it.
POLL_SECONDS = 0.005
Await = Callable[[httpx.Client, str, Callable[[dict[str, Any]], bool]], dict[str, Any]]


class PlatformFigures(Frozen):
    """Of one platform; milliseconds, medians."""

    time_to_contain_ms: float
    ten_targets_ms: float = Field(description="Until the last of ten targets of one incident is cut.")
    ratio_of_ten: float = Field(description="Ten targets over one.")
    samples_ms: tuple[float, ...]
    ten_samples_ms: tuple[float, ...]


class QuarantineWatch:
    """A watch on a namespace's pods: when each was first seen under quarantine, in ns since 1970."""

    def __init__(self, platforms: Platforms) -> None:
        self._core = client.CoreV1Api(platforms.cluster.admin)
        self._namespace = platforms.namespace
        self._watch = watch.Watch()  # type: ignore[no-untyped-call]  # the package leaves it without
        self.seen: dict[str, int] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()  # type: ignore[no-untyped-call]

    def _look(self) -> None:
        pods = self._watch.stream(self._core.list_namespaced_pod, self._namespace)  # type: ignore[no-untyped-call]
        with contextlib.suppress(urllib3.exceptions.HTTPError):  # the server ends before we do
            self._note(pods)

    def _note(self, pods: Any) -> None:
        for event in pods:
            pod = event["object"]
            if QUARANTINE in (pod.metadata.labels or {}):
                self.seen.setdefault(pod.metadata.name, time.time_ns())


class PlatformBench:
    """One and ten targets, again and again."""

    def __init__(self, platforms: Platforms, sender: Sender, api: httpx.Client, wait: Await) -> None:
        self._platforms, self._sender, self._api, self._await = platforms, sender, api, wait

    def pods(self, rounds: int) -> PlatformFigures:
        """Pods that another policy allows everything."""
        self._platforms.allow_all()
        with QuarantineWatch(self._platforms) as quarantined:

            def cut_ns(pods: list[str]) -> int | None:
                times = [quarantined.seen.get(pod.rsplit("/", 1)[1]) for pod in pods]
                return max(times) if all(times) else None  # type: ignore[type-var]  # none of them is None then

            return self._rounds(rounds, self._platforms.pods, cut_ns)

    def instances(self, rounds: int) -> PlatformFigures:
        """Instances with two interfaces each."""

        def cut_ns(instances: list[str]) -> int | None:
            return time.time_ns() if self._platforms.are_cut(instances) else None

        return self._rounds(rounds, self._platforms.instances, cut_ns)

    def _rounds(
        self, rounds: int, make: Callable[[int], list[str]], cut_ns: Callable[[list[str]], int | None]
    ) -> PlatformFigures:
        one, ten = [], []
        for number in range(-1, rounds):
            took = self._once(make(1), cut_ns), self._once(make(MANY), cut_ns)
            if number >= 0:  # the first round warms up sessions and connections
                one.append(took[0])
                ten.append(took[1])
        return PlatformFigures(
            time_to_contain_ms=median(one),
            ten_targets_ms=median(ten),
            ratio_of_ten=median(ten) / median(one),
            samples_ms=tuple(one),
            ten_samples_ms=tuple(ten),
        )

    def _once(self, targets: list[str], cut_ns: Callable[[list[str]], int | None]) -> float:
        sent_ns, incident_id = self._sender.send_targets(rule="Bench", targets=targets)
        blocked_ns = self._cut(incident_id, targets, cut_ns)
        self._release(incident_id)
        return (blocked_ns - sent_ns) / 1e6

    def _cut(self, incident_id: str, targets: list[str], cut_ns: Callable[[list[str]], int | None]) -> int:
        deadline = time.monotonic() + CUT_SECONDS
        while (found := cut_ns(targets)) is None:
            if time.monotonic() > deadline:
                incident = self._api.get(f"/v1/incidents/{incident_id}").json()
                states = [f"{t['workload']['name']}: {t['state']} {t['reason']}" for t in incident["targets"]]
                raise LabError(f"{len(targets)} targets were not cut in {CUT_SECONDS:g} s: {'; '.join(states)}")
            time.sleep(POLL_SECONDS)
        return found

    def _release(self, incident_id: str) -> None:
        """Let go before the next is measured, or it would be measured beside this one's proofs."""
        self._await(self._api, incident_id, lambda i: i["stage"] == "release" and bool(i["waiting_for"]))
        self._api.post(f"/v1/incidents/{incident_id}/release", json={"reason": "measured"}).raise_for_status()
        self._await(self._api, incident_id, lambda i: i["status"] == "closed")

"""Whether orders still get here: the lifeline of an isolated host, as the host itself measures it.

Owns the patience before a lifeline is given up. Never lifts anything.

    measured = await_lifeline(intent)
    is_alive(intent, measured)
"""

import time

from activities.host.probes import probe_lifeline
from playbooks.host_isolation import IsolationIntent
from playbooks.proof import Measurement

_PATIENCE_SECONDS = 1.0
_PACE_SECONDS = 0.05


def await_lifeline(intent: IsolationIntent) -> tuple[Measurement, ...]:
    """The first round of probes in which the control plane answered, or the last that our patience allows."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        measured = probe_lifeline(intent.lifeline, intent.host_id)
        if is_alive(intent, measured) or time.monotonic() > deadline:
            return measured
        time.sleep(_PACE_SECONDS)  # a refusal comes back at once


def is_alive(intent: IsolationIntent, measured: tuple[Measurement, ...]) -> bool:
    """Whether orders still get here; a lifeline of UDP alone can't be measured and is not held to be dead."""
    endpoints = [endpoint for endpoint in intent.lifeline if endpoint.protocol == "tcp"]
    paired = list(zip(endpoints, measured, strict=True))
    decisive = [m for endpoint, m in paired if endpoint.purpose == "temporal"] or list(measured)
    return not decisive or any(m.result == "open" for m in decisive)

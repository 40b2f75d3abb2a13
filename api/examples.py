"""Examples of bodies for the OpenAPI document; the tests send each of them."""

from typing import Any

ALERT: dict[str, Any] = {
    "@timestamp": "2026-03-04T05:06:07Z",
    "event": {"id": "c9a6-1f", "severity": 80, "reason": "10.66.0.2 was denied 40 times in 60 s"},
    "rule": {"name": "Denied again and again"},
    "host": {"name": "web", "ip": ["10.66.0.2"]},
    "source": {"ip": "10.66.0.2"},
    "destination": {"ip": "10.66.0.4", "port": 5432},
    "threat": {"technique": [{"id": "T1021", "name": "Remote Services"}]},
}
DECISION: dict[str, Any] = {
    "gate_id": "remediate-web",
    "plan_hash": "sha256:" + "9c" * 32,
    "verdict": "approve",
    "reason": "The process is not ours.",
}
REASON: dict[str, Any] = {"reason": "Repaired and watched for an hour."}
JOIN: dict[str, Any] = {
    "workload": {
        "workload_id": "4c4c45440042",
        "kind": "host",
        "name": "web",
        "labels": {"app": "shop", "env": "prod"},
        "addresses": ["10.66.0.2", "fd66::2"],
    },
    "public_key": "A" * 43 + "=",
}
JOIN_TOKEN: dict[str, Any] = {"name": "rack-7", "lifetime_seconds": 3600, "uses": 1}
EVIDENCE_LINK: dict[str, Any] = {"purpose": "For the forensic lab, ticket 81.", "minutes": 30, "single_use": True}
ORDER_REFUSAL: dict[str, Any] = {
    "order_id": "inc-1f2e-isolate",
    "reason": "expired",
    "incident_id": "inc-1f2e",
}

"""A source that signs: what a SIEM's connector would send.

Owns making the source and sending alerts with Standard Webhooks signatures, and when they were sent.

    sender = Sender.create(control, "siem")
    sent_ns, incident_id = sender.send(rule="Repeated denied connections", host="web", destination="10.77.0.13")
"""

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from lab.control import ControlPlane


class Sender:
    """One configured source."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._webhook = Webhook(secret)
        self._http = httpx.Client(timeout=30)

    @classmethod
    def create(cls, control: ControlPlane, name: str) -> "Sender":
        """Configure a new source on the control plane."""
        made = json.loads(control.cli("source", "add", name, "--json").stdout)
        return cls(f"{control.url}/v1/alerts/{name}", made["secret"])

    def close(self) -> None:
        """Give its connection back."""
        self._http.close()

    def send(
        self, *, rule: str, host: str, destination: str, port: int = 5432, webhook_id: str = ""
    ) -> tuple[int, str]:
        """Send one alert; returns when it left (ns since 1970) and the incident it belongs to."""
        body = alert_body(rule=rule, host=host, destination=destination, port=port)
        sent_ns, answer = self.post(body, webhook_id or f"msg_{uuid.uuid4().hex}")
        answer.raise_for_status()
        return sent_ns, str(answer.json()["incident_id"])

    def send_targets(self, *, rule: str, targets: list[str]) -> tuple[int, str]:
        """Send one alert about everything that these references name."""
        document = {"rule": {"name": rule}, "event": {"severity": 80}, "firebreak": {"targets": targets}}
        sent_ns, answer = self.post(json.dumps(document), f"msg_{uuid.uuid4().hex}")
        answer.raise_for_status()
        return sent_ns, str(answer.json()["incident_id"])

    def post(self, body: str, webhook_id: str) -> tuple[int, httpx.Response]:
        """Send any body, signed."""
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(webhook_id, now, body),
        }
        sent_ns = time.time_ns()
        return sent_ns, self._http.post(self._url, content=body, headers=headers)


def alert_body(*, rule: str, host: str, destination: str, port: int = 5432) -> str:
    """An ECS document as a SIEM would send it."""
    document: dict[str, Any] = {
        "@timestamp": datetime.now(UTC).isoformat(),
        "event": {"severity": 80, "action": "denied"},
        "rule": {"name": rule},
        "host": {"name": host},
        "destination": {"ip": destination, "port": port},
        "threat": {"technique": [{"id": "T1021", "name": "Remote Services"}]},
    }
    return json.dumps(document)

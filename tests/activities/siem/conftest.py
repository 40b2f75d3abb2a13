"""Denials in a real SIEM, as hosts ship them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from activities.siem.templates import FLOWS

NOW = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
Deny = Callable[..., list[str]]


@pytest.fixture
def deny(siem: Elasticsearch) -> Deny:
    """Ship denials the way a host does: one every 100 ms, the last one second before NOW."""

    def ship(count: int, source: str, destination: str, port: int = 5432, **more: Any) -> list[str]:
        lines: list[dict[str, Any]] = []
        end = more.get("end", NOW - timedelta(seconds=1))
        for number in range(count):
            moment = end - timedelta(milliseconds=100 * (count - 1 - number))
            flow = {
                "@timestamp": moment.isoformat(),
                "event": {"action": more.get("action", "denied")},
                "source": {"ip": source, "port": 40_000 + number},
                "destination": {"ip": destination, "port": port},
                "host": {"name": more.get("host", "db")},
            }
            lines += [{"create": {}}, flow]
        written = siem.bulk(index=FLOWS, operations=lines, refresh=True)
        return [item["create"]["_id"] for item in written["items"]]

    return ship

"""The bench on which orders meet an agent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.activities.orders.agent import Bench


@pytest.fixture
async def bench(temporal: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench(await Client.connect(temporal), tmp_path) as made:
        yield made

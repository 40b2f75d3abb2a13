"""Incidents to test: on the development server that all share, or on one of its own that skips time."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.orders.codec import control_converter
from api.processes.embedded import find_program
from tests.histories.keys import CONTROL, SEAL, public_host_key
from tests.workflows.case import Case, LongCase
from tests.workflows.story import Story, play_story


@pytest.fixture(scope="session")
def story(temporal: str, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One incident that all who only look share."""
    return asyncio.run(play_story(temporal, tmp_path_factory.mktemp("story")))


@pytest.fixture
async def client(temporal: str) -> Client:
    """A client that knows none of our keys."""
    return await Client.connect(temporal)


@pytest.fixture
async def case(client: Client, tmp_path: Path) -> AsyncIterator[Case]:
    """An incident of its own on the development server."""
    async with Case(client, tmp_path, uuid.uuid4().hex[:8]) as made:
        yield made
        await made.end_workflows()


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server on which hours pass in no time."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=find_program("temporal-test-server"),
        data_converter=control_converter(SEAL, CONTROL, public_host_key),
    )
    async with environment:
        yield environment


@pytest.fixture
async def long_case(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[LongCase]:
    """An incident on the server that skips time."""
    async with LongCase(skipping, tmp_path) as made:
        yield made

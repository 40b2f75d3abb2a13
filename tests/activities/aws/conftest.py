"""The AWS that these tests talk to: one server for all, an account of its own for each test."""

import itertools
from collections.abc import Iterator

import boto3
import pytest

from activities.aws.sessions import AwsAccess, AwsSessions
from lab.aws_server import AwsServer
from tests.activities.aws.accounts import Accounts, session_of
from tests.activities.aws.wire import Wire

_numbers = itertools.count(100000000001)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    """The server: moto with its gaps shimmed."""
    with AwsServer(log=tmp_path_factory.mktemp("aws") / "server.log") as server:
        yield server


@pytest.fixture
def base() -> boto3.Session:
    """Who the worker is before it assumes a role; its `events` hear every call of every client made from it."""
    return session_of("worker")


@pytest.fixture
def wire(base: boto3.Session) -> Wire:
    """Hears every call that Firebreak makes; ask for it before anything opens a session."""
    return Wire(base)


@pytest.fixture
def sessions(aws: AwsServer, base: boto3.Session) -> AwsSessions:
    return AwsSessions(AwsAccess(endpoint_url=aws.url, external_id="firebreak-tests", attempts=2), base)


@pytest.fixture
def accounts(aws: AwsServer) -> Accounts:
    """An account that no other test uses, and its owner's clients."""
    return Accounts(aws.url, f"{next(_numbers)}")

"""What holds for every test: no socket leaves this machine, and no property is given up for being slow."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.cluster_fixture", "tests.siem_fixture"]

# Loopback, and the test networks that are built from namespaces here.
ALLOWED = (
    "127.0.0.0/8",
    "::1",
    "localhost",
    "10.77.0.0/16",
    "10.78.0.0/16",
    "fd77::/16",
    "fd78::/16",
)

# The machine may be busy: how long an example takes says nothing about the code.
settings.register_profile("firebreak", deadline=None)
settings.load_profile("firebreak")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # pytest-socket reads its options in its own pytest_configure: this has to come before.
    config.option.allow_hosts = ",".join(ALLOWED)
    config.option.allow_unix_socket = True


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Temporal development server that all tests share."""
    from tests.workflows.servers import development_server

    with development_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address

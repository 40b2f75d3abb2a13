"""Two hosts on one wire for the whole package."""

from collections.abc import Iterator

import pytest

from tests.activities.host_evidence.hosts import Host, wire


@pytest.fixture(scope="package")
def hosts() -> Iterator[tuple[Host, Host]]:
    with wire() as pair:
        yield pair

"""One world for all end-to-end tests: starting one costs seconds, and incidents are what is isolated."""

from collections.abc import Iterator

import pytest

from lab import cast
from lab.network import Lab
from tests.end_to_end.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A lab with services, a control plane and an agent on every host."""
    state = tmp_path_factory.mktemp("world")
    with Lab.create("fbe2e", state_dir=state / "hosts") as lab:
        cast.start_services(lab)
        cast.start_denials(lab)
        made = World.create(lab, state)
        yield made
        made.sender.close()
        made.control.stop()
    assert Lab.leftovers("fbe2e") == ()

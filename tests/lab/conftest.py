"""One lab for all tests that only look, and names of their own for those that build and break."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cast
from lab.network import Lab


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with services and denial loggers, shared."""
    with Lab.create(f"t{os.getpid()}", state_dir=tmp_path_factory.mktemp("lab")) as built:
        cast.start_services(built)
        cast.start_denials(built)
        yield built


@pytest.fixture
def own_name() -> Iterator[str]:
    """A name for a lab that the test builds itself; whatever it leaves is removed."""
    name = f"u{os.getpid()}"
    yield name
    if Lab.leftovers(name):
        Lab.create(name, state_dir=Path("/nonexistent")).destroy()

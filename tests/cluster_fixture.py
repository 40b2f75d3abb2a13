"""One Kubernetes API for all tests, and what is said where this machine can't provide it or what it needs.

Owns the fixture `cluster`. A test that meets ClusterUnavailableError is skipped, and the run ends with how many, why
and what to do; under CI=true it fails instead.

Tests share the cluster, and a namespace that is deleted never goes away (there are no controllers): each test takes
namespaces of its own from `cluster.namespace(prefix)`, and names what is cluster-wide after them.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from lab import cluster_parts
from lab.cluster import Cluster
from lab.cluster_parts import ClusterUnavailableError

_NOT_RUN = pytest.StashKey[dict[str, list[str]]]()  # why and what to do: the tests


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running Kubernetes API, shared with every other test of the run."""
    _show_building(request.config)
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def _show_building(config: pytest.Config) -> None:
    """Where nothing is built yet it takes minutes: the progress goes to the terminal, past pytest's capture."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        cluster_parts.programs()
        return
    with capture.global_and_fixture_disabled():
        cluster_parts.programs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    yield from _skipped_without_cluster(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield from _skipped_without_cluster(item)


def _skipped_without_cluster(item: pytest.Item) -> Generator[None]:
    try:
        yield
    except ClusterUnavailableError as error:
        if os.environ.get("CI") == "true":
            raise
        not_run = item.config.stash.setdefault(_NOT_RUN, {})
        not_run.setdefault(str(error), []).append(item.nodeid)
        pytest.skip("no Kubernetes API that has what it needs; see the end of the run")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    # Around the terminal's own, not pytest_terminal_summary: what was not run stands below the count of what passed.
    yield
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        _tell(reporter, session.config.stash.get(_NOT_RUN, {}))


def _tell(reporter: pytest.TerminalReporter, not_run: dict[str, list[str]]) -> None:
    if not_run:
        reporter.ensure_newline()
        reporter.section("NOT RUN: tests with a Kubernetes API", sep="!", red=True, bold=True)
    for why, tests in not_run.items():
        reporter.line(f"{len(tests)} tests: {why}")

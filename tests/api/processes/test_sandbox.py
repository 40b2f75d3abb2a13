"""What runs of workflows share: the code of their modules, and nothing that a run could leave in them."""

import importlib
import sys
from types import ModuleType

from temporalio.worker.workflow_sandbox._importer import Importer
from temporalio.worker.workflow_sandbox._restrictions import RestrictionContext

from api.processes.sandbox import KeptCode, workflow_runner


def as_a_run_sees_it(name: str) -> ModuleType:
    """The module as the sandbox loads it for one run."""
    with Importer(workflow_runner().restrictions, RestrictionContext()).applied():
        return importlib.import_module(name)


def test_every_run_has_modules_of_its_own_made_of_code_that_was_read_once() -> None:
    first, second = as_a_run_sees_it("workflows.leases"), as_a_run_sees_it("workflows.leases")
    assert first is not second
    assert first.Leases is not second.Leases
    assert first.Leases.release.__code__ is second.Leases.release.__code__


def test_what_one_run_leaves_in_a_module_no_other_sees() -> None:
    first = as_a_run_sees_it("workflows.orders")
    first.LEFT_BEHIND = True  # type: ignore[attr-defined]
    assert not hasattr(as_a_run_sees_it("workflows.orders"), "LEFT_BEHIND")


def test_only_workflows_are_kept_and_their_finder_is_there_once() -> None:
    workflow_runner()
    workflow_runner()
    assert sys.meta_path.count(KeptCode) == 1
    assert KeptCode.find_spec("json") is None
    assert KeptCode.find_spec("workflows_of_others") is None
    assert KeptCode.find_spec("workflows.nothing_of_this_name", importlib.import_module("workflows").__path__) is None

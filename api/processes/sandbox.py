"""The sandbox that workflows run in: what it shares with the process, and what it need not read again.

Owns its restrictions, which are the SDK's, and the code of our workflow modules. The sandbox executes those anew for
every run, so that no run sees what another left in them; finding, reading and (where no bytecode may be written)
compiling them anew was half of the time between an alert and its first order.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

WORKFLOW_PACKAGE = "workflows"
# Pure by contract (import-linter holds it): loaded once instead of once per workflow run.
PURE = (
    "activities",
    "playbooks",
    "segmentation",
    "pydantic",
    "pydantic_core",
    "rfc8785",
    "yaml",
    "structlog",
)


def workflow_runner() -> SandboxedWorkflowRunner:
    """The SDK's sandbox with its restrictions on, sharing only pure modules and the code of the others."""
    if KeptCode not in sys.meta_path:
        sys.meta_path.insert(0, KeptCode)
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE))


class KeptCode:
    """Finds the modules of our workflows, each read once in the life of the process. A finder for `sys.meta_path`."""

    @classmethod
    def find_spec(
        cls,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG003 - finders are called with it
    ) -> ModuleSpec | None:
        """As importlib's own; None for what is no workflow."""
        if name.partition(".")[0] != WORKFLOW_PACKAGE:
            return None
        found = _found(name, tuple(path) if path is not None else None)
        if found is None:
            return None
        loader, within = found
        return spec_from_file_location(name, loader.path, loader=loader, submodule_search_locations=within)


class _Loader(SourceFileLoader):
    """Gives the same code again and again; what a module does when it is executed is not shared."""

    def get_code(self, fullname: str) -> CodeType | None:
        return _code(self, fullname)

    def read_code(self, fullname: str) -> CodeType | None:
        return super().get_code(fullname)


@cache
def _found(name: str, path: tuple[str, ...] | None) -> tuple[_Loader, list[str] | None] | None:
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        return None
    return _Loader(name, spec.origin), spec.submodule_search_locations


@cache
def _code(loader: _Loader, name: str) -> CodeType | None:
    return loader.read_code(name)

"""Where the parts of a cluster come from: kube-apiserver, etcd, and the resource definitions of its add-ons.

Owns asking the scripts under deploy/cluster, which provide them once and keep them. Never starts a part.

    programs() / "etcd"
    definitions("cilium")          # the YAML files that Cilium publishes
"""

import functools
import os
import subprocess
from pathlib import Path
from typing import Literal, get_args

from lab.errors import LabError
from lab.processes import PROJECT_ROOT

AddOn = Literal["cilium", "calico", "istio", "policy-api"]
ADD_ONS: tuple[AddOn, ...] = get_args(AddOn)
CALICO_VARIABLE = "FIREBREAK_CALICO_CRDS"
_FOLDER = PROJECT_ROOT / "deploy" / "cluster"


class ClusterUnavailableError(LabError):
    """This machine can't provide a cluster: no toolchain to build it, or no way to its modules."""

    code = "lab-cluster-unavailable"


def programs() -> Path:
    """The folder that holds `etcd` and `kube-apiserver`; builds both if need be, with progress on stderr."""
    return _provided(_FOLDER / "build")


def definitions(add_on: AddOn) -> list[Path]:
    """The published CustomResourceDefinitions of an add-on; fetches those that can be fetched if need be."""
    folder = _calico() if add_on == "calico" else _provided(_FOLDER / "crds" / "fetch") / add_on
    return sorted(folder.rglob("*.y*ml"))


def _calico() -> Path:
    """Calico's are not fetched: they come from whoever has a release of it."""
    folder = os.environ.get(CALICO_VARIABLE)
    if not folder or not Path(folder).is_dir():
        raise ClusterUnavailableError(
            f"Calico's resource definitions are in no folder that {CALICO_VARIABLE} names (it is {folder!r}).",
            hint=f"Unpack a Calico release's chart crd.projectcalico.org.v1 and set {CALICO_VARIABLE} to its folder.",
        )
    return Path(folder)


@functools.cache
def _provided(script: Path) -> Path:
    """The folder a script names on stdout. Its stderr is ours: it says what it does, and why it could not."""
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        name = script.relative_to(PROJECT_ROOT)
        raise ClusterUnavailableError(
            f"{name} could not provide what a Kubernetes API needs (exit {done.returncode}).",
            hint=f"Run {name}, which names what is missing.",
        )
    return Path(done.stdout.strip())

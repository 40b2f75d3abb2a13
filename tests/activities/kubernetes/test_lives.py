"""The lives of a controller, a node and a service account on a real API server, in any order of events.

What is settled in `test_life` for pods and namespaces holds for these too: repeating writes nothing, what can be taken
back is as it was, and what somebody else has set is reported and left alone.
"""

from typing import Any

import pytest
from hypothesis.stateful import initialize, precondition, rule
from kubernetes.client import ApiClient

from lab.cluster import Cluster
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.containment import Containment, live
from tests.activities.kubernetes.making import Ground, Raw, intent, workload
from tests.activities.kubernetes.test_crash_points import furnish

RBAC = "/apis/rbac.authorization.k8s.io/v1"
APPS = "/apis/apps/v1"
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"}
# By kind of target: what is planned, what somebody edits of it (plural, name, patch and its undoing), and where it is.
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, str, Raw, Raw, str] | None]] = {
    "Deployment": (
        "web",
        {"mechanism": "network-policy", "scale_to_zero": True},
        ("deployments", "web", {"spec": {"replicas": 7}}, {"spec": {"replicas": 0}}, APPS),
    ),
    "Node": ("", {}, None),
    "ServiceAccount": (
        "shop",
        {},
        ("rolebindings", "reads", {"subjects": [{"kind": "User", "name": "ana"}]}, {"subjects": None}, RBAC),
    ),
}


class Lives(Containment):
    """One target, and the one thing of it that somebody edits, if any."""

    resource: str

    @initialize()
    def begin(self) -> None:
        self.ground = Ground(self.cluster, self.cluster.namespace("lives"))
        furnish(self.ground)
        self.ground.account("shop")
        subjects = [{"kind": "ServiceAccount", "name": "shop", "namespace": self.ground.name}]
        self.ground.make(self.ground.here("rolebindings", RBAC), "reads", {"roleRef": ROLE, "subjects": subjects})
        name, spec, self.edited = CASES[self.resource]
        space = "" if self.resource == "Node" else self.ground.name
        target = workload(self.resource, name or self.ground.name, space)
        self.plan(target, intent(target, **spec))
        assert self.original, "there is nothing to take back, and so nothing to test"

    @precondition(lambda self: self.contained and not self.hand and self.edited is not None)
    @rule()
    def somebody_edits_it(self) -> None:
        self.meddle("it")

    @rule()
    def release(self) -> None:
        let_go = self.let_go(overwrite=False)
        self.contained = False
        assert let_go.restored == (not self.hand)
        if not self.hand:
            assert self.look() == self.original

    def look(self) -> dict[tuple[str, str], Any]:
        """Everything that can be taken back."""
        platform = opened(self.worker)
        return {one.place: platform.read(one) for one in self.change.settings if one.reversible}

    def marks(self) -> dict[tuple[str, str], Any]:
        return self.look()

    def edit(self, hand: str, *, undo: bool) -> None:
        assert self.edited is not None
        plural, name, change, back, root = self.edited
        self.ground.edit(plural, name, back if undo else change, root)


@pytest.mark.parametrize("resource", CASES)
def test_a_containment_of_its_kind_is_sound_in_any_order_of_events(
    resource: str, cluster: Cluster, worker: ApiClient
) -> None:
    live(Lives, examples=12, steps=12, cluster=cluster, worker=worker, resource=resource)

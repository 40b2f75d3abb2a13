"""A service account loses its bindings and every token of it is void; the identity does not come back on release."""

from typing import Any

import pytest

from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE
from playbooks.kubernetes.observation import AccountSeen, BindingSeen, KubernetesObservation
from playbooks.platform_intent import TargetHeld
from tests.playbooks.kubernetes.cluster import INCIDENT_ID, applied, plan, pod, seen

OURS: dict[str, Any] = {"kind": "ServiceAccount", "namespace": "shop", "name": "web"}
OTHER: dict[str, Any] = {"kind": "ServiceAccount", "namespace": "data", "name": "web"}
BY_USER_NAME: dict[str, Any] = {
    "kind": "User",
    "apiGroup": "rbac.authorization.k8s.io",
    "name": "system:serviceaccount:shop:web",
}
GROUP: dict[str, Any] = {
    "kind": "Group",
    "apiGroup": "rbac.authorization.k8s.io",
    "name": "system:serviceaccounts:shop",
}
ACCOUNT = AccountSeen(
    namespace="shop",
    name="web",
    uid="uid-1",
    token_secrets=("web-token",),
    bindings=(
        BindingSeen(kind="RoleBinding", namespace="shop", name="readers", subjects=(OTHER, OURS)),
        BindingSeen(kind="ClusterRoleBinding", name="admins", subjects=(BY_USER_NAME, GROUP)),
    ),
)


def account(**more: Any) -> KubernetesObservation:
    return seen("ServiceAccount", "web", **{"account": ACCOUNT, "pods": (pod(service_account="web"),), **more})


def test_bindings_go_first_and_only_this_account_leaves_them() -> None:
    held, readers, admins, secret, identity = plan(account()).settings
    assert (held.before, held.after) == ("", INCIDENT_ID)
    assert readers.resource == "binding/RoleBinding/shop/readers"
    assert (readers.before, readers.after) == ([OTHER, OURS], [OTHER])
    assert (admins.resource, admins.after) == ("binding/ClusterRoleBinding/-/admins", [GROUP])
    assert (secret.resource, secret.after) == ("secret/shop/web-token", False)
    assert (identity.before, identity.after) == ("uid-1", "@rotated")
    assert "bind clusterroles.rbac.authorization.k8s.io" in admins.permissions


def test_what_can_not_be_taken_back_is_said_and_left_out_of_the_way_back() -> None:
    change = plan(account())
    assert sum("can't be taken back" in words for words in change.summary) == 2
    assert [s.resource.split("/")[0] for s in change.inverse().settings] == [
        "binding",
        "binding",
        "serviceaccount",
    ]
    contained = applied(account(), *change.settings)
    restored = applied(contained, *change.inverse().settings).account
    assert restored is not None
    assert restored.bindings == ACCOUNT.bindings
    assert restored.uid == "made-anew"


def test_a_second_plan_of_an_account_is_empty() -> None:
    assert plan(applied(account(), *plan(account()).settings)).empty


def test_an_account_that_an_earlier_incident_made_anew_is_made_anew_again() -> None:
    earlier = ACCOUNT.model_copy(update={"labels": {INCIDENT: "inc-other"}})
    assert plan(account(account=earlier)).settings[-1].attribute == "identity"


def test_an_account_of_another_incident_is_refused() -> None:
    held = ACCOUNT.model_copy(update={"labels": {QUARANTINE: "inc-other"}})
    with pytest.raises(TargetHeld, match="Service account shop/web is in quarantine for incident inc-other") as refused:
        plan(account(account=held))
    assert "ask again once incident inc-other has released it" in refused.value.hint


def test_what_groups_give_it_and_the_pods_that_run_as_it_are_named() -> None:
    cannot = plan(account()).cannot
    assert any("ClusterRoleBinding admins gives to group system:serviceaccounts:shop" in words for words in cannot)
    assert any("contain pod shop/web-1 too" in words for words in cannot)


def test_an_account_that_was_not_seen_can_not_be_planned() -> None:
    with pytest.raises(TargetGone):
        plan(account(account=None))


def test_a_pods_tokens_are_voided_where_the_playbook_says_so_and_bindings_stay() -> None:
    observation = seen(pods=(pod(service_account="web"),), account=ACCOUNT)
    change = plan(observation, revoke_tokens=True)
    tokens = [setting for setting in change.settings if setting.resource.split("/")[0] in ("secret", "serviceaccount")]
    assert [setting.resource for setting in tokens] == ["secret/shop/web-token", "serviceaccount/shop/web"]
    assert not any(setting.essential for setting in tokens)
    assert not any(setting.resource.startswith("binding/") for setting in change.settings)
    assert any("handed a new token" in words for words in change.cannot)
    assert plan(applied(observation, *change.settings), revoke_tokens=True).empty


def test_accounts_that_were_not_seen_are_named() -> None:
    change = plan(seen(pods=(pod(service_account="other"),), account=ACCOUNT), revoke_tokens=True)
    assert any("tokens of service account shop/other stay valid" in words for words in change.cannot)

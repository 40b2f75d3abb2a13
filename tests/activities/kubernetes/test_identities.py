"""Ending the identity of a service account on a real API server, whose own token review is the judge."""

from typing import Any

import pytest
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.killswitch.platform import PermissionMissing, PlanStale, PlatformRefused, TargetUnknown
from activities.kubernetes.platform import KubernetesPlatform
from playbooks.change import PlatformChange
from tests.activities.kubernetes.conftest import opened, shipped
from tests.activities.kubernetes.making import MOMENT, RBAC, Ground, change, setting

TOKEN_OF = "kubernetes.io/service-account.name"
KEPT: dict[str, Any] = {
    "labels": {"team": "shop"},
    "annotations": {"cloud/role": "reader"},
    "imagePullSecrets": [{"name": "registry"}],
    "automountServiceAccountToken": False,
}


def rotation(ground: Ground) -> PlatformChange:
    uid = ground.get("serviceaccounts", "web")["metadata"]["uid"]
    resource = f"serviceaccount/{ground.name}/web"
    return change(setting(resource, "identity", uid, "@rotated", reversible=False))


def token_of(ground: Ground) -> str:
    path = f"{ground.here('serviceaccounts')}/web/token"
    asked = ground.cluster.call("POST", path, {"spec": {"expirationSeconds": 3600}})
    return str(asked["status"]["token"])


def is_accepted(ground: Ground, token: str) -> bool:
    review = ground.cluster.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    return bool(review["status"].get("authenticated"))


def test_a_token_of_the_account_is_worthless_once_it_was_made_anew(
    platform: KubernetesPlatform, ground: Ground
) -> None:
    ground.account()
    # Two of them: an API server believes one that it has just accepted for ten seconds more.
    first, second = token_of(ground), token_of(ground)
    assert is_accepted(ground, first)
    engine.apply(platform, rotation(ground), MOMENT)
    assert not is_accepted(ground, second)
    assert is_accepted(ground, token_of(ground))


def test_the_account_made_anew_is_like_the_old_one_and_marked(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account(**KEPT)
    planned = rotation(ground)
    engine.apply(platform, planned, MOMENT)
    found = ground.get("serviceaccounts", "web")
    assert found["metadata"]["labels"] == {"team": "shop", "firebreak.dev/incident": "inc-1"}
    assert found["metadata"]["annotations"] == KEPT["annotations"]
    assert {key: found[key] for key in ("imagePullSecrets", "automountServiceAccountToken")} == {
        key: KEPT[key] for key in ("imagePullSecrets", "automountServiceAccountToken")
    }
    assert found["metadata"]["uid"] != planned.settings[0].before
    assert ground.names("serviceaccounts") == {"web"}
    assert engine.apply(platform, planned, MOMENT).already_standing


def test_an_account_that_a_controller_made_anew_gets_what_the_old_one_had(
    platform: KubernetesPlatform, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.account(**KEPT)
    planned = rotation(ground)
    # The controller manager does this to `default` within moments: here our deletion is followed by a bare account.
    _after_deletion(platform, monkeypatch, ground.account)
    with pytest.raises(PlatformRefused):
        engine.apply(platform, planned, MOMENT)
    monkeypatch.undo()
    engine.apply(platform, planned, MOMENT)
    assert ground.get("serviceaccounts", "web")["imagePullSecrets"] == KEPT["imagePullSecrets"]
    assert engine.verify(platform, planned).differing == ()
    assert ground.names("serviceaccounts") == {"web"}


def test_an_account_that_somebody_else_made_anew_is_not_touched(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account()
    planned = rotation(ground)
    ground.delete("serviceaccounts", "web")
    ground.account()
    with pytest.raises(PlanStale):
        engine.apply(platform, planned, MOMENT)


def test_an_account_that_is_gone_is_named(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account()
    planned = rotation(ground).settings[0]
    ground.delete("serviceaccounts", "web")
    assert platform.read(planned) is None
    with pytest.raises(TargetUnknown, match="no saved copy"):
        platform.write(planned, planned.after, MOMENT)
    assert "There is no serviceaccounts web" in platform.refusal(planned, planned.after)


def test_an_account_held_by_a_finalizer_is_said_to_be_there_still(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account(finalizers=["shop/keep"])
    with pytest.raises(PlatformRefused, match="already"):
        engine.apply(platform, rotation(ground), MOMENT)
    ground.edit("serviceaccounts", "web", {"metadata": {"finalizers": None}})


def test_a_dry_run_of_a_rotation_changes_nothing(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account()
    planned = rotation(ground)
    assert engine.dry_run(platform, planned).differing == ()
    assert rotation(ground) == planned


def test_token_secrets_are_deleted_and_others_left_alone(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.account()
    kind = "kubernetes.io/service-account-token"
    ground.make(ground.here("secrets"), "web-token", {"type": kind}, annotations={TOKEN_OF: "web"})
    ground.make(ground.here("secrets"), "password", {"type": "Opaque"})
    gone = setting(f"secret/{ground.name}/web-token", "exists", before=True, after=False, reversible=False)
    assert engine.dry_run(platform, change(gone)).differing == ()
    assert engine.apply(platform, change(gone), MOMENT).changed == 1
    assert engine.apply(platform, change(gone), MOMENT).already_standing
    other = setting(f"secret/{ground.name}/password", "exists", before=True, after=False)
    with pytest.raises(PlatformRefused, match="no token of a service account"):
        platform.write(other, other.after, MOMENT)
    assert ground.names("secrets") == {"password"}


def bound(ground: Ground, kind: str = "RoleBinding") -> tuple[str, list[Any]]:
    subjects = [
        {"kind": "ServiceAccount", "name": "web", "namespace": ground.name},
        {"kind": "Group", "name": "shop", "apiGroup": "rbac.authorization.k8s.io"},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"}
    body = {"roleRef": role, "subjects": subjects}
    wide = kind == "ClusterRoleBinding"
    path = f"{RBAC}/clusterrolebindings" if wide else ground.here("rolebindings", RBAC)
    ground.make(path, ground.name, body)
    return f"binding/{kind}/{'-' if wide else ground.name}/{ground.name}", subjects


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_a_subject_is_taken_out_of_a_binding_and_put_back(
    platform: KubernetesPlatform, ground: Ground, kind: str
) -> None:
    resource, subjects = bound(ground, kind)
    planned = change(setting(resource, "subjects", subjects, subjects[1:]))
    assert engine.dry_run(platform, planned).differing == ()
    engine.apply(platform, planned, MOMENT)
    assert platform.read(planned.settings[0]) == subjects[1:]
    assert engine.release(platform, planned, MOMENT, overwrite=False).restored
    assert platform.read(planned.settings[0]) == subjects


def test_a_binding_left_without_subjects_gets_them_back(platform: KubernetesPlatform, ground: Ground) -> None:
    resource, subjects = bound(ground)
    planned = change(setting(resource, "subjects", subjects, []))
    engine.apply(platform, planned, MOMENT)
    assert platform.read(planned.settings[0]) == []
    assert engine.release(platform, planned, MOMENT, overwrite=False).restored


def test_without_the_right_to_bind_a_binding_stays_and_the_right_is_named(
    base_worker: ApiClient, restrict: Any, ground: Ground
) -> None:
    manifests = shipped("rbac.yaml", "identities.yaml")
    manifests["identities.yaml"] = manifests["identities.yaml"].replace("verbs: [bind]", "verbs: [get]")
    unbound = opened(restrict("unbound", manifests))
    resource, subjects = bound(ground)
    planned = setting(resource, "subjects", subjects, subjects[1:])
    with pytest.raises(PermissionMissing, match=r"bind clusterroles\.rbac\.authorization\.k8s\.io"):
        unbound.write(planned, planned.after, MOMENT)
    assert "bind clusterroles" in unbound.refusal(planned, planned.after)
    with pytest.raises(PermissionMissing, match=r"get rolebindings\.rbac\.authorization\.k8s\.io in namespace"):
        opened(base_worker).read(planned)


def _after_deletion(platform: KubernetesPlatform, monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    calls = platform._session.calls
    delete = calls.delete

    def and_then(*args: Any, **more: Any) -> None:
        delete(*args, **more)
        then()

    monkeypatch.setattr(calls, "delete", and_then)

"""What the code declares and what the shipped roles grant: the same, both ways."""

from typing import Any

import pytest
import yaml

from activities.kubernetes import evidence
from activities.kubernetes.platform import ATTRIBUTES, IDENTITY_PERMISSIONS, PERMISSIONS
from tests.activities.kubernetes.conftest import MANIFESTS

Rules = list[dict[str, Any]]


def rules(file: str) -> Rules:
    documents = list(yaml.safe_load_all((MANIFESTS / file).read_text(encoding="utf-8")))
    (role,) = [one for one in documents if one["kind"] == "ClusterRole"]
    (binding,) = [one for one in documents if one["kind"] == "ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    found: Rules = role["rules"]
    return found


def granted(file: str) -> list[str]:
    return [
        f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
        for rule in rules(file)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.mark.parametrize(
    ("file", "declared"),
    [
        ("rbac.yaml", PERMISSIONS),
        ("identities.yaml", IDENTITY_PERMISSIONS),
        ("evidence.yaml", evidence.PERMISSIONS - PERMISSIONS),
    ],
)
def test_a_role_grants_exactly_what_the_code_declares(file: str, declared: frozenset[str]) -> None:
    found = granted(file)
    assert sorted(found) == sorted(declared)


def test_no_wildcard_and_no_secret_is_in_the_role_that_every_worker_has() -> None:
    assert not [permission for permission in granted("rbac.yaml") if "*" in permission or "secrets" in permission]
    assert {verb for rule in rules("rbac.yaml") for verb in rule["verbs"]} == {
        "get",
        "list",
        "create",
        "patch",
        "delete",
    }


def test_only_one_config_map_can_be_read() -> None:
    (rule,) = [rule for rule in rules("rbac.yaml") if "configmaps" in rule["resources"]]
    assert rule["resourceNames"] == ["cilium-config"]


def test_every_attribute_declares_what_it_needs() -> None:
    assert all(attribute.permissions for attribute in ATTRIBUTES.values())


def test_collecting_evidence_changes_nothing_and_reads_no_secret() -> None:
    assert {permission.split()[0] for permission in evidence.PERMISSIONS} == {"get", "list"}
    assert not [permission for permission in granted("evidence.yaml") if "*" in permission or "secrets" in permission]

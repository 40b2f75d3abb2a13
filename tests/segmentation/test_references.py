"""References: every way to name a target, and what is said where it names none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.references import ReferenceUnknown, instance, pod, resolve_reference
from segmentation.workloads import Inventory, Workload

WEB = Workload(workload_id="id-web", name="web")
INVENTORY = Inventory(workloads=(WEB, Workload(workload_id="id-app", name="app")))


@pytest.mark.parametrize("text", ["web", "WEB", "host/web", "id-web", " web "])
def test_a_host_is_named_by_name_or_id(text: str) -> None:
    assert resolve_reference(text, INVENTORY) == WEB


@pytest.mark.parametrize(
    ("text", "kind", "resource", "namespace"),
    [
        ("k8s:prod/shop/pod/web-5d9", "pod", "Pod", "shop"),
        ("k8s:prod/shop/deployment/web", "controller", "Deployment", "shop"),
        ("k8s:prod/shop/statefulset/web", "controller", "StatefulSet", "shop"),
        ("k8s:prod/shop/serviceaccount/web", "service-account", "ServiceAccount", "shop"),
        ("k8s:prod/namespace/shop", "namespace", "Namespace", ""),
        ("k8s:prod/node/n1", "node", "Node", ""),
    ],
)
def test_what_is_in_a_cluster_is_named_by_its_place(text: str, kind: str, resource: str, namespace: str) -> None:
    found = resolve_reference(text, INVENTORY)

    assert found.kind == kind
    assert found.kubernetes is not None
    assert (found.kubernetes.cluster, found.kubernetes.namespace) == ("prod", namespace)
    assert (found.kubernetes.resource, found.kubernetes.name) == (resource, text.rsplit("/", 1)[1])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("instance", "ec2-instance"),
        ("role", "iam-role"),
        ("user", "iam-user"),
        ("bucket", "s3-bucket"),
        ("function", "lambda-function"),
        ("subnet", "subnet"),
        ("security-group", "security-group"),
    ],
)
def test_what_is_in_an_account_is_named_by_account_region_and_kind(kind: str, expected: str) -> None:
    found = resolve_reference(f"aws:123456789012/eu-west-1/{kind}/the-one", INVENTORY)

    assert found.kind == expected
    assert found.aws is not None
    assert (found.aws.account, found.aws.region, found.aws.name) == ("123456789012", "eu-west-1", "the-one")


def test_a_name_with_characters_of_its_own_keeps_them_and_has_an_id_of_its_own() -> None:
    plus = resolve_reference("aws:123456789012/eu-west-1/role/app+ci", INVENTORY)
    comma = resolve_reference("aws:123456789012/eu-west-1/role/app,ci", INVENTORY)

    assert plus.aws is not None
    assert plus.aws.name == "app+ci"
    assert plus.workload_id != comma.workload_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nobody", "names no host"),
        ("k8s:prod/web", "no reference into a cluster"),
        ("k8s:prod/shop/service/web", "no reference into a cluster"),
        ("k8s:prod/shop/node/n1", "no reference into a cluster"),
        ("k8s:prod/shop/pod/", "name: String should have"),
        ("aws:1234/eu-west-1/instance/i-1", "account"),
        ("aws:123456789012/europe/instance/i-1", "region"),
        ("aws:123456789012/eu-west-1/database/x", "no reference into an AWS account"),
        ("aws:123456789012", "no reference into an AWS account"),
    ],
)
def test_what_names_nothing_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ReferenceUnknown, match=expected) as raised:
        resolve_reference(text, INVENTORY)

    assert raised.value.hint


def test_an_ambiguous_name_lists_the_ids_that_bear_it() -> None:
    twins = Inventory(workloads=(WEB, Workload(workload_id="id-other", name="web")))

    with pytest.raises(ReferenceUnknown, match="names 2 hosts: id-other, id-web"):
        resolve_reference("web", twins)


def test_pods_and_instances_of_alerts_are_the_ones_that_references_name() -> None:
    assert pod("prod", "shop", "web-1") == resolve_reference("k8s:prod/shop/pod/web-1", INVENTORY)
    assert instance("123456789012", "eu-west-1", "i-1") == resolve_reference(
        "aws:123456789012/eu-west-1/instance/i-1", INVENTORY
    )


@given(text=st.text(max_size=300))
def test_no_text_is_anything_but_a_target_or_a_clear_error(text: str) -> None:
    with suppress(ReferenceUnknown):
        assert resolve_reference(text, INVENTORY).workload_id

"""Safeguards: what a site protects, how much it lets be contained automatically, and how a wrong file is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.loading import PlaybookInvalid, load_safeguards
from playbooks.playbook import Playbook
from playbooks.safeguards import Counts, Limits, Safeguards, over_limit, protection
from segmentation.workloads import AwsRef, ClusterRef, Workload

FILE = """\
protected:
  labels: {role: [dns, identity]}
  names: ["dc-*", "kube-system/*", "*/audit-log"]
  networks: [10.0.0.0/24, "fd00:53::/64"]
limits: {per_hour: 3, group: tier, percent_of_group_per_hour: 25}
"""


def playbook(**contain: Any) -> Playbook:
    return Playbook.model_validate({"name": "p", "title": "A playbook", "match": {"rules": ["*"]}, "contain": contain})


def workload(name: str = "web", **more: Any) -> Workload:
    return Workload.model_validate({"workload_id": f"id-{name}", "name": name, **more})


@pytest.fixture
def site(tmp_path: Path) -> Safeguards:
    (tmp_path / "safeguards.yaml").write_text(FILE)
    return load_safeguards(tmp_path / "safeguards.yaml")


def test_without_a_file_nothing_is_protected_and_fifty_targets_are_contained_in_an_hour() -> None:
    site = load_safeguards(None)

    assert protection(site, playbook().contain, workload(labels={"role": "dns"}, addresses=["10.0.0.1"])) == ""
    assert over_limit(site, workload(), Counts(targets=50)) == ""
    assert "more than the limit of 50" in over_limit(site, workload(), Counts(targets=51))
    assert over_limit(site, workload(labels={"app": "shop"}), Counts(targets=4, of_group=4, group_size=4)) == ""


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (workload(labels={"role": "dns"}), "role=dns"),
        (workload("dc-7"), "dc-7 matches dc-*"),
        (workload("DC-7"), "DC-7 matches dc-*"),
        (workload(addresses=["192.0.2.1", "10.0.0.9"]), "10.0.0.9 is in 10.0.0.0/24"),
        (workload(addresses=["fd00:53::9"]), "fd00:53::9 is in fd00:53::/64"),
        (workload(addresses=["::ffff:10.0.0.9"]), "10.0.0.9 is in 10.0.0.0/24"),
        (
            workload(
                "dns-1",
                kind="pod",
                kubernetes=ClusterRef(cluster="prod", namespace="kube-system", resource="Pod", name="dns-1"),
            ),
            "kube-system/dns-1 matches kube-system/*",
        ),
        (
            workload(
                "bucket", kind="s3-bucket", aws=AwsRef(account="123456789012", region="eu-west-1", name="audit-log")
            ),
            "123456789012/audit-log matches */audit-log",
        ),
    ],
)
def test_a_target_is_protected_by_label_name_or_address(site: Safeguards, target: Workload, why: str) -> None:
    assert protection(site, playbook().contain, target) == why


@pytest.mark.parametrize(
    "target",
    [
        workload(labels={"role": "web", "app": "dns"}),
        workload("my-dc-7"),
        workload(addresses=["10.0.1.9", "fd00:54::9"]),
        workload(),
    ],
)
def test_whoever_is_not_named_is_not_protected(site: Safeguards, target: Workload) -> None:
    assert protection(site, playbook().contain, target) == ""


def test_a_playbook_protects_more_and_never_less(site: Safeguards) -> None:
    more = playbook(protected={"tier": ["core"]})

    assert protection(site, more.contain, workload(labels={"tier": "core"})) == "tier=core"
    assert protection(site, more.contain, workload(labels={"role": "dns"})) == "role=dns"
    assert protection(site, playbook().contain, workload(labels={"tier": "core"})) == ""


def test_over_the_limit_of_the_site_people_decide(site: Safeguards) -> None:
    assert over_limit(site, workload(), Counts(targets=3)) == ""
    said = over_limit(site, workload(), Counts(targets=4))
    assert said == "web would be automatic containment 4 within an hour, more than the limit of 3"


def test_over_the_percentage_of_its_group_people_decide(site: Safeguards) -> None:
    web = workload(labels={"tier": "front"})

    assert over_limit(site, web, Counts(targets=1, of_group=1, group_size=4)) == ""
    said = over_limit(site, web, Counts(targets=2, of_group=2, group_size=4))
    assert said.startswith("with web 2 of 4 targets of tier=front would be contained automatically within an hour")
    assert over_limit(site, workload(), Counts(targets=2)) == ""  # of no group


@given(
    limit=st.integers(0, 10),
    percent=st.one_of(st.none(), st.integers(0, 100)),
    targets=st.integers(1, 12),
    of_group=st.integers(1, 12),
    size=st.integers(1, 12),
)
def test_what_passes_is_within_every_limit(
    limit: int, percent: int | None, targets: int, of_group: int, size: int
) -> None:
    site = Safeguards(limits=Limits(per_hour=limit, percent_of_group_per_hour=percent))
    counts = Counts(targets=targets, of_group=of_group, group_size=size)

    passes = not over_limit(site, workload(labels={"app": "shop"}), counts)

    assert passes == (targets <= limit and (percent is None or of_group / size * 100 <= percent + 1e-9))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("protected: {networks: [10.0.0.5/24]}", ":1:24: protected.networks[0]: expected a network such as"),
        ("limits: {per_hours: 5}", "found the unknown field 'per_hours' (did you mean per_hour?)"),
        ("limits: {percent_of_group_per_hour: 101}", ":1:37: limits.percent_of_group_per_hour: expected 100 or less"),
        ("protected: {labels: {role: []}}", "protected.labels.role: expected at least one entry"),
        ("protected: {labels: {role: dns}}", "protected.labels.role: expected a list, found 'dns'"),
        ("", "expected a YAML mapping, found an empty file"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_place_and_what_was_expected(
    tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "safeguards.yaml"
    file.write_text(line)
    with pytest.raises(PlaybookInvalid) as refused:
        load_safeguards(file)
    assert str(file) in refused.value.summary
    assert said in refused.value.summary


def test_a_file_that_is_not_there_is_an_error_and_not_no_safeguards(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid, match=r"nowhere\.yaml:1:1: expected a readable file"):
        load_safeguards(tmp_path / "nowhere.yaml")

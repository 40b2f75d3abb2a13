"""Two rulesets are equal when their rules are, whatever counts, expires or was loaded by us."""

from typing import Any

from activities.host import ruleset
from activities.host.ruleset import Ruleset, drift


def table(name: str, *, handle: int = 1) -> dict[str, Any]:
    return {"table": {"family": "inet", "name": name, "handle": handle}}


def chain(owner: str, name: str, *, handle: int = 1, policy: str = "drop") -> dict[str, Any]:
    body = {
        "family": "inet",
        "table": owner,
        "name": name,
        "handle": handle,
        "type": "filter",
        "hook": "input",
    }
    return {"chain": body | {"prio": 0, "policy": policy}}


def rule(owner: str, in_chain: str, port: int, *, packets: int = 0, handle: int = 1) -> dict[str, Any]:
    match = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}
    counter = {"counter": {"packets": packets, "bytes": packets * 60}}
    body = {"family": "inet", "table": owner, "chain": in_chain, "handle": handle}
    return {"rule": body | {"expr": [match, counter, {"accept": None}]}}


def named_set(owner: str, elements: list[Any], *flags: str) -> dict[str, Any]:
    body = {"family": "inet", "table": owner, "name": "addresses", "type": "ipv4_addr", "handle": 1}
    return {"set": body | {"flags": list(flags), "elem": elements}}


BASE = [table("filter"), chain("filter", "input"), rule("filter", "input", 22), rule("filter", "input", 80)]


def test_counters_and_handles_do_not_count() -> None:
    later = [
        table("filter", handle=7),
        chain("filter", "input", handle=9),
        rule("filter", "input", 22, packets=12, handle=3),
        rule("filter", "input", 80, packets=9, handle=4),
    ]
    assert Ruleset(later).digest == Ruleset(BASE).digest


def test_our_tables_do_not_count() -> None:
    ours = [table("firebreak_inc_1"), chain("firebreak_inc_1", "input"), rule("firebreak_inc_1", "input", 1)]
    assert Ruleset([*BASE, *ours]).digest == Ruleset(BASE).digest
    assert Ruleset([*BASE, *ours]).our_tables == ("firebreak_inc_1",)


def test_the_order_of_rules_counts() -> None:
    assert Ruleset([*BASE[:2], BASE[3], BASE[2]]).digest != Ruleset(BASE).digest


def test_the_order_of_elements_does_not_count() -> None:
    one, other = ["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]
    assert Ruleset([named_set("filter", one)]).digest == Ruleset([named_set("filter", other)]).digest


def test_elements_that_come_and_go_by_themselves_do_not_count() -> None:
    passing = {"elem": {"val": "10.0.0.9", "timeout": 60, "expires": 12}}
    lasting = named_set("filter", ["10.0.0.1"], "timeout")
    assert Ruleset([named_set("filter", ["10.0.0.1", passing], "timeout")]).digest == Ruleset([lasting]).digest
    met, unmet = (named_set("filter", found, "dynamic") for found in (["10.0.0.1"], []))
    assert Ruleset([met]).digest == Ruleset([unmet]).digest
    assert Ruleset([named_set("filter", ["10.0.0.1"])]).digest != Ruleset([named_set("filter", [])]).digest


def test_a_quota_is_its_limit_and_not_its_use() -> None:
    def quota(limit: int, used: int) -> list[dict[str, Any]]:
        return [{"quota": {"family": "inet", "table": "filter", "name": "q", "bytes": limit, "used": used}}]

    assert Ruleset(quota(10, 1)).digest == Ruleset(quota(10, 2)).digest
    assert Ruleset(quota(10, 1)).digest != Ruleset(quota(20, 1)).digest


def test_drift_names_what_is_new_gone_and_different() -> None:
    later = [table("filter"), chain("filter", "input", policy="accept"), *BASE[2:], table("nat")]
    before = [*BASE, chain("filter", "old")]
    assert drift(Ruleset(before).outline, Ruleset(later).outline) == (
        "chain inet filter input differs",
        "chain inet filter old is gone",
        "table inet nat is new",
    )
    assert drift(Ruleset(BASE).outline, Ruleset(BASE).outline) == ()


def test_the_outline_of_a_huge_ruleset_names_tables_only() -> None:
    many = [chain("filter", f"c{number}") for number in range(ruleset.MAX_OUTLINE)]
    before, after = Ruleset([*BASE, *many]), Ruleset([*BASE, *many, rule("filter", "c7", 1)])
    assert list(before.outline) == ["contents of table inet filter"]
    assert before.digest != after.digest
    assert drift(before.outline, after.outline) == ("contents of table inet filter differs",)
    assert drift(Ruleset(BASE).outline, before.outline) == ("contents of table inet filter differs",)
    assert drift(before.outline, before.outline) == ()


def test_every_base_chain_is_listed_with_hook_and_priority() -> None:
    assert Ruleset(BASE).base_chains == ("inet filter input input 0",)

"""What others' chains do to a packet: said where it is sure, left open where it is not."""

import json
import subprocess
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from activities.host.chain_verdicts import Chains

PACKET: Mapping[str, object] = {
    "network": "ip",
    "ip daddr": ip_address("10.0.0.7"),
    "tcp dport": 7233,
    "meta l4proto": "tcp",
    "meta nfproto": "ipv4",
    "meta oifname": frozenset({"lo"}),
    "ct state": "new",
}
EITHER = {"accept", "drop"}
SETS = """
set hosts { type ipv4_addr; elements = { 10.0.0.6, 10.0.0.7 }; }
set nets { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.0.0.1-10.0.0.9 }; }
set lasting { type ipv4_addr; flags timeout; }
chain ssh { tcp dport 22 accept; }
chain ours { tcp dport 7233 accept; }
chain nothing { return; }
"""
RULES: list[tuple[str, set[str]]] = [
    ("", {"drop"}),
    ("accept", {"accept"}),
    ("tcp dport 7233 accept", {"accept"}),
    ("tcp dport { 22, 7233 } accept", {"accept"}),
    ("tcp dport 7000-8000 accept", {"accept"}),
    ("tcp dport != 7233 accept", {"drop"}),
    ("udp dport 7233 accept", {"drop"}),
    ("udp dport != 53 accept", {"drop"}),
    ("ip daddr 10.0.0.0/24 accept", {"accept"}),
    ("ip daddr 10.0.0.1-10.0.0.6 accept", {"drop"}),
    ("ip daddr @hosts accept", {"accept"}),
    ("ip daddr @nets accept", {"accept"}),
    ("ip daddr != @hosts accept", {"drop"}),
    ("ip daddr @lasting accept", EITHER),
    ("ip6 daddr != fd00::1 accept", {"drop"}),
    ("meta nfproto ipv4 accept", {"accept"}),
    ("meta l4proto { icmp, udp } accept", {"drop"}),
    ('oifname "lo" accept', {"drop"}),
    ('oifname "eth0" accept', EITHER),
    ("ct state established,related accept", {"drop"}),
    ("ct state { established, new } accept", {"accept"}),
    ("ct state vmap { established : accept, new : drop }", EITHER),
    ("meta skuid 0 accept", EITHER),
    ("limit rate 5/second accept", EITHER),
    ("tcp dport 7233 counter log accept", {"accept"}),
    ("jump ssh", {"drop"}),
    ("jump ours", {"accept"}),
    ("jump nothing\naccept", {"accept"}),
    ("goto nothing\naccept", {"drop"}),
    ("return\naccept", {"drop"}),
    ("tcp dport 7233 reject\naccept", {"drop"}),
]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, frozenset[str]]:
    """What each example does, by nft's own listing of it."""
    chains = [
        f"chain c{number} {{ type filter hook output priority {number}; policy drop; {rule}\n}}\n"
        for number, (rule, _) in enumerate(RULES)
    ]
    ruleset = f"table inet t {{ {SETS}\n{''.join(chains)} }}"
    # A namespace that ends with its process: rules that drop everything have no place on a host that others use.
    script = "nft -f - && nft -j list ruleset"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], input=ruleset, text=True, capture_output=True, check=True
    )
    listed: list[dict[str, Any]] = json.loads(done.stdout)["nftables"]
    chosen = Chains([entry for entry in listed if "metainfo" not in entry])
    return {rule: chosen.outcomes(("inet", "t", f"c{number}"), PACKET) for number, (rule, _) in enumerate(RULES)}


@pytest.mark.parametrize(("rule", "expected"), RULES)
def test_a_chain_that_drops_by_policy(outcomes: dict[str, frozenset[str]], rule: str, expected: set[str]) -> None:
    assert outcomes[rule] == expected

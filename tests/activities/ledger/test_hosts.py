from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from activities.ledger.errors import HostKeyConflict, JoinTokenRefused
from activities.ledger.ledger import Ledger
from tests.activities.ledger.making import at_once, workload

KEY, OTHER = bytes(range(32)), bytes(32)
HOUR = timedelta(hours=1)


def test_a_host_that_joined_is_in_the_inventory_with_its_key(ledger: Ledger) -> None:
    ledger.hosts.join(workload(addresses=("10.66.0.2", "fd66::2")), KEY)
    assert ledger.hosts.hosts().workloads == (workload(addresses=("10.66.0.2", "fd66::2")),)
    assert ledger.hosts.public_key("id-web") == KEY
    assert ledger.hosts.public_key("nobody") is None


def test_a_host_joins_again_with_its_key_and_new_addresses(ledger: Ledger) -> None:
    ledger.hosts.join(workload(addresses=("10.66.0.2",)), KEY)
    ledger.hosts.join(workload(addresses=("10.66.0.99",)), KEY)
    assert ledger.hosts.hosts().workloads == (workload(addresses=("10.66.0.99",)),)


def test_another_key_for_a_known_host_is_refused_until_the_host_is_forgotten(ledger: Ledger) -> None:
    ledger.hosts.join(workload(), KEY)
    with pytest.raises(HostKeyConflict, match="another key"):
        ledger.hosts.join(workload(), OTHER)
    assert ledger.hosts.public_key("id-web") == KEY
    assert ledger.hosts.forget("id-web")
    ledger.hosts.join(workload(), OTHER)
    assert ledger.hosts.public_key("id-web") == OTHER


def test_a_second_host_can_not_take_a_name_that_would_make_alerts_ambiguous(ledger: Ledger) -> None:
    ledger.hosts.join(workload("web"), KEY)
    with pytest.raises(HostKeyConflict, match="belongs to host id-web"):
        ledger.hosts.join(workload("WEB", host_id="intruder"), OTHER)


def test_last_seen_is_kept(ledger: Ledger) -> None:
    ledger.hosts.join(workload(), KEY)
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    ledger.hosts.seen("id-web", moment)
    assert ledger.hosts.entries()[0].last_seen == moment


def test_a_single_use_token_lets_one_host_in(ledger: Ledger) -> None:
    token = ledger.join_tokens.create("rack-7", HOUR).token
    ledger.join_tokens.join(token, workload("web"), KEY)
    with pytest.raises(JoinTokenRefused, match="used up"):
        ledger.join_tokens.join(token, workload("app"), OTHER)
    assert len(ledger.hosts.hosts().workloads) == 1


def test_a_host_whose_answer_was_lost_comes_again_with_the_same_token(ledger: Ledger) -> None:
    token = ledger.join_tokens.create("rack-7", HOUR).token
    ledger.join_tokens.join(token, workload(), KEY)
    ledger.join_tokens.join(token, workload(), KEY)


def test_a_token_for_many_lets_that_many_in_even_at_once(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    token = ledgers[0].join_tokens.create("rack-7", HOUR, uses=3).token

    def join(ledger: Ledger, number: int) -> bool:
        try:
            ledger.join_tokens.join(token, workload(f"host-{number}"), KEY)
        except JoinTokenRefused:
            return False
        return True

    joined = at_once([partial(join, ledgers[n % 2], n) for n in range(6)])
    assert sum(joined) == 3


def test_a_token_without_a_limit_lets_any_number_in(ledger: Ledger) -> None:
    token = ledger.join_tokens.create("fleet", HOUR, uses=None).token
    for number in range(5):
        ledger.join_tokens.join(token, workload(f"host-{number}"), KEY)


def test_an_expired_or_invented_token_is_refused(ledger: Ledger) -> None:
    expired = ledger.join_tokens.create("old", -HOUR).token
    for token in (expired, "fbjoin_invented", ""):
        with pytest.raises(JoinTokenRefused, match="unknown or has expired"):
            ledger.join_tokens.join(token, workload(), KEY)


def test_a_host_that_is_refused_for_its_key_uses_no_token_up(ledger: Ledger) -> None:
    ledger.hosts.join(workload("web"), KEY)
    token = ledger.join_tokens.create("rack-7", HOUR).token
    with pytest.raises(HostKeyConflict):
        ledger.join_tokens.join(token, workload("web"), OTHER)
    ledger.join_tokens.join(token, workload("app"), OTHER)


def test_join_tokens_are_hashed_at_rest(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    token = ledger.join_tokens.create("rack-7", HOUR).token
    ledger.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"rack-7" in kept
    assert token.encode() not in kept
    assert token.removeprefix("fbjoin_").encode() not in kept

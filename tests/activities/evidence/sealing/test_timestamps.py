"""Time-stamps over seals: got, awaited, and held against the authority's root."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from activities.evidence.errors import SealBroken, TimestampAway
from activities.evidence.sealing.timestamps import TimestampAuthority, check_timestamp
from activities.evidence.sealing.trust import Trust
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase
from tests.activities.evidence.tsa import StampingAuthority, serving


def seal_files(case: SealedCase, suffix: str) -> list[Path]:
    return sorted((case.folder / "seals").glob(f"*{suffix}"))


def test_a_seal_gets_a_timestamp_that_its_custody_chain_tells_of(stamped: SealedCase) -> None:
    stamped.register(make_item(stamped.vault, "sockets"))
    assert stamped.seal().timestamp == "pending"
    held = stamped.stamp(1)
    assert held.timestamp == "held"
    assert held.timestamp_at is not None
    assert abs(held.timestamp_at - held.sealed_at) < timedelta(minutes=1)
    (token,) = seal_files(stamped, ".tsr")
    event = stamped.ledger.custody.custody(CASE)[-1]
    assert (event.event_id, event.hash_after) == ("seal-000001.timestamp", sha256(token.read_bytes()).hexdigest())
    verdict = stamped.verify()
    assert (verdict.ok, verdict.seals[0].timestamp, verdict.warnings) == (True, "held", ())


def test_an_authority_that_is_away_leaves_a_good_seal_and_can_be_asked_later(
    stamped: SealedCase, authority: StampingAuthority
) -> None:
    stamped.register(make_item(stamped.vault, "sockets"))
    stamped.seal()
    authority.away = True
    with pytest.raises(TimestampAway) as away:
        stamped.stamp(1)
    assert away.value.retryable
    verdict = stamped.verify()
    assert (verdict.ok, verdict.seals[0].timestamp) == (True, "pending")
    authority.away = False
    assert stamped.stamp(1).timestamp == "held"
    assert stamped.verify().ok


def test_nobody_at_the_address_is_an_authority_that_is_away() -> None:
    with pytest.raises(TimestampAway, match="does not answer"):
        TimestampAuthority("http://127.0.0.1:9/tsr").stamp(b"envelope")


def test_a_seal_is_stamped_once_however_often_it_is_asked(stamped: SealedCase, authority: StampingAuthority) -> None:
    stamped.seal()
    first, asked = stamped.stamp(1), authority.asked
    assert stamped.stamp(1) == first
    assert authority.asked == asked


def test_a_timestamp_that_was_kept_before_a_crash_is_told_of_by_the_next_attempt(
    stamped: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped.seal()
    with monkeypatch.context() as patched:
        patched.setattr(stamped.ledger.custody, "append_custody", _die)
        with pytest.raises(KeyboardInterrupt):
            stamped.stamp(1)
    assert "the custody chain does not know it" in stamped.verify().first_failure
    stamped.stamp(1)
    assert stamped.verify().ok


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_without_an_authority_there_is_no_timestamp_and_nothing_is_wrong(unstamped: SealedCase) -> None:
    assert unstamped.seal().timestamp == "none"
    assert unstamped.stamp(1).timestamp == "none"
    assert unstamped.verify().ok


def test_a_timestamp_by_another_authority_does_not_hold(stamped: SealedCase) -> None:
    stamped.seal()
    stamped.stamp(1)
    stranger = StampingAuthority()
    trust = Trust(fingerprints=stamped.trust.fingerprints, roots=(stranger.root,))
    verdict = stamped.verify(trust)
    assert not verdict.ok
    assert ".tsr: is not signed by an authority that a root vouches for" in verdict.first_failure


def test_without_a_root_the_timestamp_is_named_as_unchecked(stamped: SealedCase) -> None:
    stamped.seal()
    stamped.stamp(1)
    verdict = stamped.verify(Trust(fingerprints=stamped.trust.fingerprints))
    assert verdict.ok
    assert any("was not held against the root" in warning for warning in verdict.warnings)


def test_an_answer_about_other_bytes_or_by_a_stranger_is_not_kept(authority: StampingAuthority) -> None:
    good = TimestampAuthority(authority.url, [authority.root]).stamp(b"one")
    with pytest.raises(SealBroken, match="expected a timestamp of"):
        check_timestamp(good, b"other", [authority.root])
    with serving(StampingAuthority()) as stranger:
        asked = TimestampAuthority(stranger.url, [authority.root])
        with pytest.raises(TimestampAway, match="no good timestamp"):
            asked.stamp(b"one")


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"\x30\x03\x02\x01\x00", b"\x30\x05\x30\x03\x02\x01\x02"])
def test_what_is_no_timestamp_is_said_to_be_none(answer: bytes) -> None:
    with pytest.raises(SealBroken):
        check_timestamp(answer, b"envelope", [])

"""A timestamp that had not come when a case was handed over: told apart from one that is wrong, and made good later."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from activities.contracts.custody import CaseVerdict
from activities.evidence.export.checking import verify_bag
from activities.evidence.sealing.timestamps import TimestampAuthority
from activities.evidence.sealing.trust import Trust
from activities.evidence.verify import verify_case
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase
from tests.activities.evidence.tsa import StampingAuthority, serving

PENDING = "seals/000001: timestamp: pending: its authority was asked, there was no timestamp yet when this was {}"
Check = Callable[..., CaseVerdict]


@pytest.fixture
def early(stamped: SealedCase, tmp_path: Path) -> Path:
    """A bag that was exported a minute before the timestamp of its seal came."""
    stamped.register(make_item(stamped.vault, "sockets"))
    stamped.seal()
    bag = stamped.export(tmp_path / "early")
    stamped.stamp(1)
    return bag


@pytest.fixture
def token(early: Path, stamped: SealedCase) -> bytes:
    return next((stamped.folder / "seals").glob("*.tsr")).read_bytes()


def demanding(bag: Path, trust: Trust, **brought: bytes) -> CaseVerdict:
    return verify_bag(bag, replace(trust, timestamps=brought), stamps=True)


def summed_up(verdict: CaseVerdict) -> tuple[bool, str, str]:
    return verdict.ok, verdict.reason, verdict.timestamp


def test_a_bag_from_before_its_timestamp_is_pending_and_not_broken(early: Path, stamped: SealedCase) -> None:
    verdict = demanding(early, stamped.trust)
    assert summed_up(verdict) == (False, "timestamp-pending", "pending")
    assert (verdict.first_failure, verdict.verified) == (PENDING.format("exported"), 1)
    undemanded = verify_bag(early, stamped.trust)
    assert summed_up(undemanded) == (True, "", "pending")
    assert undemanded.warnings == (PENDING.format("exported"),)


def test_a_case_at_work_is_told_of_and_fails_whoever_demands_the_timestamp(stamped: SealedCase) -> None:
    stamped.seal()
    assert stamped.verify().warnings == (PENDING.format("read"),)
    asked = verify_case(stamped.vault.case(CASE), CASE, stamped.trust, stamps=True)
    assert (*summed_up(asked), asked.first_failure) == (False, "timestamp-pending", "pending", PENDING.format("read"))


def test_the_timestamp_alone_makes_the_early_bag_whole(early: Path, stamped: SealedCase, token: bytes) -> None:
    verdict = demanding(early, stamped.trust, later=token)
    assert (*summed_up(verdict), verdict.first_failure) == (True, "", "held", "")
    assert verdict.seals[0].timestamp_at is not None
    assert verdict.warnings == ("The timestamp of seal 1 was brought beside the case: later.",)


def test_exporting_again_is_whole_by_itself(early: Path, stamped: SealedCase, tmp_path: Path) -> None:
    later = stamped.export(tmp_path / "later")
    verdict = demanding(later, stamped.trust)
    assert (*summed_up(verdict), verdict.warnings) == (True, "", "held", ())
    told = "had not answered about seal 1 when this was exported"
    assert [told in (bag / "README.md").read_text() for bag in (early, later)] == [True, False]


def test_anything_else_that_is_wrong_is_named_before_a_pending_timestamp(early: Path, stamped: SealedCase) -> None:
    (early / "data" / "odd").write_bytes(b"x")
    verdict = demanding(early, stamped.trust)
    assert (*summed_up(verdict), verdict.first_failure) == (
        False,
        "broken",
        "pending",
        "data/odd: is not in manifest-sha256.txt",
    )


def flipped(token: bytes, stamped: SealedCase) -> bytes:
    return token[:-20] + bytes([token[-20] ^ 1]) + token[-19:]


def of_another_envelope(token: bytes, stamped: SealedCase) -> bytes:
    asked = stamped.sealing._authority
    assert isinstance(asked, TimestampAuthority)
    return asked.stamp(b"something else")


def nonsense(token: bytes, stamped: SealedCase) -> bytes:
    return b"nonsense"


def by_a_stranger(token: bytes, stamped: SealedCase) -> bytes:
    envelope = next((stamped.folder / "seals").glob("*.dsse.json")).read_bytes()
    with serving(StampingAuthority()) as stranger:
        return TimestampAuthority(stranger.url, [stranger.root]).stamp(envelope)


@pytest.mark.parametrize(
    ("made", "says", "timestamp"),
    [
        (flipped, "later is not signed by an authority that a root vouches for", "wrong"),
        (by_a_stranger, "later is not signed by an authority that a root vouches for", "wrong"),
        (of_another_envelope, "later: expected a timestamp of a seal of this case, found none", "pending"),
        (nonsense, "later: expected a timestamp of a seal of this case, found none", "pending"),
    ],
)
def test_a_brought_timestamp_that_does_not_hold_breaks_it(
    early: Path,
    stamped: SealedCase,
    token: bytes,
    made: Callable[[bytes, SealedCase], bytes],
    says: str,
    timestamp: str,
) -> None:
    verdict = demanding(early, stamped.trust, later=made(token, stamped))
    assert summed_up(verdict) == (False, "broken", timestamp)
    assert says in verdict.first_failure


def test_a_brought_timestamp_counts_for_nothing_without_a_root(stamped: SealedCase, token: bytes, early: Path) -> None:
    for root in (early / "data" / "tsa").iterdir():
        root.unlink()
    trust = Trust(fingerprints=stamped.trust.fingerprints, timestamps={"later": token})
    verdict = verify_bag(early, trust)
    assert verdict.timestamp == "wrong"
    assert "later proves nothing without the authority's root certificate" in verdict.first_failure


def test_a_timestamp_in_the_case_that_is_wrong_is_not_pending(stamped: SealedCase) -> None:
    stamped.seal()
    stamped.stamp(1)
    path = next((stamped.folder / "seals").glob("*.tsr"))
    path.chmod(0o600)
    path.write_bytes(flipped(path.read_bytes(), stamped))
    verdict = verify_case(stamped.vault.case(CASE), CASE, stamped.trust, stamps=True)
    assert summed_up(verdict) == (False, "broken", "wrong")
    path.unlink()
    taken = verify_case(stamped.vault.case(CASE), CASE, stamped.trust, stamps=True)
    assert summed_up(taken) == (False, "broken", "wrong")
    assert "expected the timestamp that the custody chain tells of, found none" in taken.first_failure

"""The engine's rule for each setting, on a platform that is a dictionary: what no single server shows at once."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from activities.killswitch import engine
from activities.killswitch.platform import (
    Moment,
    PermissionMissing,
    PlanStale,
    PlatformUnreachable,
    StillHeld,
    TargetUnknown,
)
from playbooks.change import LEASE_UNTIL, LET_GO, PlatformChange, Setting
from segmentation.errors import FirebreakError

NOW = datetime(2031, 5, 1, tzinfo=UTC)
MOMENT = Moment(NOW, NOW + timedelta(minutes=15))


class Dictionary:
    """Attributes by place; `fails` says what reading (`r`) or writing (`w`) one of them raises."""

    def __init__(self, change: PlatformChange) -> None:
        self.values: dict[str, JsonValue] = {setting.resource: setting.before for setting in change.settings}
        self.fails: dict[str, FirebreakError] = {}
        self.written: list[tuple[str, JsonValue]] = []

    def observe(self, *_: object) -> None:
        raise NotImplementedError

    def refusal(self, setting: Setting, value: JsonValue) -> str:
        return f"no {value} for {setting.resource}" if setting.resource == "b" else ""

    def read(self, setting: Setting) -> JsonValue:
        if f"r {setting.resource}" in self.fails:
            raise self.fails[f"r {setting.resource}"]
        return self.values[setting.resource]

    def write(self, setting: Setting, value: JsonValue, _: Moment) -> None:
        if (failure := self.fails.get(f"w {setting.resource} {value}")) is not None:
            raise failure
        self.written.append((setting.resource, value))
        self.values[setting.resource] = value


def setting(resource: str, **more: object) -> Setting:
    plain = {"resource": resource, "attribute": "x", "before": 0, "after": 1, "words": resource, "permissions": ()}
    return Setting.model_validate(plain | more)


def change(*settings: Setting) -> PlatformChange:
    return PlatformChange(
        incident_id="inc-1",
        target_id="t",
        platform="aws",
        mechanism="test",
        settings=settings,
        lease_seconds=900,
        ends="open",
    )


def platform(planned: PlatformChange) -> Dictionary:
    return Dictionary(planned)


def apply(found: Dictionary, planned: PlatformChange) -> object:
    return engine.apply(found, planned, MOMENT)  # type: ignore[arg-type]  # it observes nothing


def test_two_steps_that_fail_on_the_way_go_back_to_what_was_there() -> None:
    planned = change(setting("a", via=9))
    found = platform(planned)
    found.fails["w a 1"] = PermissionMissing("not allowed")

    with pytest.raises(PermissionMissing):
        apply(found, planned)

    assert found.written == [("a", 9), ("a", 0)]


def test_a_precaution_that_fails_holds_up_no_cut_even_if_trying_again_could_help() -> None:
    planned = change(setting("a", essential=False), setting("b"))
    found = platform(planned)
    found.fails["w a 1"] = PlatformUnreachable("away")

    applied = engine.apply(found, planned, MOMENT)  # type: ignore[arg-type]

    assert found.values == {"a": 0, "b": 1}
    assert applied.problems == ("a: away",)


def test_a_renewal_winds_up_the_others_before_it_says_what_failed() -> None:
    planned = change(setting("a"), setting("b", after={"until": LEASE_UNTIL}))
    found = platform(planned)
    found.values |= {"a": 1, "b": {"until": LEASE_UNTIL}}
    found.fails["r a"] = PlatformUnreachable("away")

    with pytest.raises(PlatformUnreachable):
        engine.renew(found, planned, MOMENT)  # type: ignore[arg-type]

    assert found.written == [("b", {"until": LEASE_UNTIL})]


def test_what_is_gone_holds_up_no_release() -> None:
    planned = change(setting("a"), setting("b"))
    found = platform(planned)
    apply(found, planned)
    found.fails["r b"] = TargetUnknown("b was deleted")

    gone = engine.release(found, planned, MOMENT, overwrite=False)  # type: ignore[arg-type]

    assert found.values["a"] == 0
    assert not gone.restored
    assert "b was deleted" in gone.drift[0].words


def test_what_shelters_another_stays_while_that_one_can_not_be_taken_back() -> None:
    planned = change(setting("a", shelter=True), setting("b"))
    found = platform(planned)
    apply(found, planned)
    found.values["b"] = 7

    gone = engine.release(found, planned, MOMENT, overwrite=False)  # type: ignore[arg-type]

    assert found.values == {"a": 1, "b": 7}
    assert len(gone.drift) == 2


def test_what_somebody_else_has_set_is_never_overwritten_by_an_apply() -> None:
    planned = change(setting("a"), setting("b"))
    found = platform(planned)
    found.values["b"] = 7

    with pytest.raises(PlanStale, match="x is 7, expected 0 or 1"):
        apply(found, planned)

    assert found.values == {"a": 1, "b": 7}


def test_a_dry_run_names_each_refusal_and_writes_nothing() -> None:
    planned = change(setting("a"), setting("b"))
    found = platform(planned)

    said = engine.dry_run(found, planned)  # type: ignore[arg-type]

    assert said.differing == ("b: no 1 for b",)
    assert found.written == []


def test_what_can_not_be_read_is_not_taken_for_what_does_not_stand() -> None:
    planned = change(setting("a"), setting("b"), setting("c"))
    found = platform(planned)
    found.fails |= {"r a": PlatformUnreachable("away"), "r b": TargetUnknown("gone")}

    said = engine.verify(found, planned)  # type: ignore[arg-type]

    assert (said.standing, len(said.differing), said.unreadable) == (0, 3, 1)


def test_what_another_containment_holds_too_is_reported_and_no_drift() -> None:
    planned = change(setting("a"), setting("b", shared=True))
    found = platform(planned)
    apply(found, planned)
    found.fails["w b 0"] = StillHeld("b stays.")
    let_go = engine.release(found, planned, MOMENT, overwrite=False)  # type: ignore[arg-type]  # it observes nothing
    assert (let_go.restored, let_go.kept, found.values["a"]) == (True, ("b stays.",), 0)


def test_what_somebody_changed_in_a_shared_setting_is_left_and_let_go() -> None:
    planned = change(setting("a", shared=True))
    found = platform(planned)
    found.values["a"] = 7
    let_go = engine.release(found, planned, MOMENT, overwrite=False)  # type: ignore[arg-type]  # it observes nothing
    assert [drift.resource for drift in let_go.drift] == ["a"]
    assert found.written == [("a", LET_GO)]

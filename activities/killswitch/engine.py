"""Applying, checking and taking back a change, one setting after the other.

Owns the order and the rule for each: what stands is left alone, what is as before is set, what somebody else has set is
never overwritten unasked. So a repeat after a crash anywhere goes on where it was. Never re-opens anything by itself.

    applied = apply(platform, change, Moment(now, until))
    let_go = release(platform, change, moment, overwrite=False)
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from pydantic import JsonValue

from activities.contracts.killswitch import Applied, Drift, LetGo, ReadBack
from activities.killswitch.platform import Moment, PlanStale, Platform, PlatformRefused, StillHeld, TargetUnknown
from playbooks.change import LET_GO, PlatformChange, Setting, standing
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)
LONGEST_VALUE = 200


def apply(platform: Platform, change: PlatformChange, moment: Moment) -> Applied:
    """Have every setting stand.

    Raises:
        PlanStale: an essential setting is neither as it was nor as it is to be.
        FirebreakError: the platform refused an essential setting; what was applied before it stands.
    """
    changed, problems = 0, []
    for setting in change.settings:
        try:
            changed += _advance(platform, setting, moment)
        except FirebreakError as error:
            if setting.essential:
                raise
            # The next renewal tries it again: what is as it was before is set then.
            problems.append(f"{setting.words}: {error.summary}")
            log.warning("a precaution failed, the cut goes on", resource=setting.resource, problem=error.summary)
    return Applied(
        applied_at=moment.applied_at, already_standing=not changed, changed=changed, problems=tuple(problems)
    )


def _advance(platform: Platform, setting: Setting, moment: Moment) -> int:
    current = platform.read(setting)
    where = standing(setting, current)
    if where == "after":
        return 0
    if where == "drift":
        raise PlanStale(in_words(setting, current), hint="Plan again: somebody has changed it since.")
    if where == "before" and setting.via is not None:
        _by_way(platform, setting, moment)
    else:
        platform.write(setting, setting.after, moment)
    return 1


def _by_way(platform: Platform, setting: Setting, moment: Moment) -> None:
    """In two steps, the first of which may be more open than what was there: it must not be the one that stays."""
    platform.write(setting, setting.via, moment)
    try:
        platform.write(setting, setting.after, moment)
    except FirebreakError:
        platform.write(setting, setting.before, moment)
        raise


def verify(platform: Platform, change: PlatformChange) -> ReadBack:
    """Read every setting back. Never raises for what is not as wanted."""
    differing, unreadable = [], 0
    for setting in change.settings:
        try:
            current = platform.read(setting)
        except FirebreakError as error:
            unreadable += not isinstance(error, TargetUnknown)
            differing.append(f"{setting.resource}: {error.summary}")
            continue
        if standing(setting, current) != "after":
            differing.append(in_words(setting, current))
    return ReadBack(
        at=datetime.now(UTC),
        standing=len(change.settings) - len(differing),
        differing=tuple(differing),
        unreadable=unreadable,
    )


def dry_run(platform: Platform, change: PlatformChange) -> ReadBack:
    """What the platform's own dry run says against each setting, changing nothing."""
    refusals = [platform.refusal(setting, setting.after) for setting in change.settings]
    differing = tuple(f"{s.words}: {words}" for s, words in zip(change.settings, refusals, strict=True) if words)
    return ReadBack(at=datetime.now(UTC), standing=len(refusals) - len(differing), differing=differing)


def renew(platform: Platform, change: PlatformChange, moment: Moment) -> Applied:
    """Wind up what carries the lease's end, set again what somebody took back, and report what else differs.

    Raises:
        FirebreakError: of the first essential setting that failed; the others were renewed all the same.
    """
    changed, drift, problems = 0, [], []
    failed: FirebreakError | None = None
    for setting in change.settings:
        try:
            current = platform.read(setting)
            where = standing(setting, current)
            if where in ("before", "via", "lapsed") or (where == "after" and setting.dated):
                platform.write(setting, setting.after, moment)
                changed += where != "after"
            elif where == "drift":
                drift.append(_drift(setting, current))
        except FirebreakError as error:
            # A lease that ends by its date must not lapse because another setting could not be renewed.
            failed = failed or (error if setting.essential else None)
            problems.append(f"{setting.words}: {error.summary}")
    if failed is not None:
        raise failed
    return Applied(
        applied_at=moment.applied_at,
        already_standing=not changed,
        changed=changed,
        problems=tuple(problems),
        drift=tuple(drift),
    )


def release(platform: Platform, change: PlatformChange, moment: Moment, *, overwrite: bool) -> LetGo:
    """Take back what is ours, last setting first; what somebody else has set stays, unless `overwrite`.

    What the platform refuses to take back, and what is gone, is reported like drift, and holds up nothing else but the
    settings that shelter it: a pod that keeps our labels keeps the policy that they stand for. What another containment
    holds too is not ours any more, and stands until that one lets go as well.
    """
    was_standing, back = False, _Back()
    for setting in reversed([setting for setting in change.settings if setting.reversible]):
        try:
            current = platform.read(setting)
        except (PlatformRefused, PlanStale, TargetUnknown) as error:
            # What is gone needs nothing back; what can't be read may still rely on what shelters it.
            back.failed(setting, error)
            continue
        where = standing(setting, current)
        was_standing = was_standing or where in ("after", "via")
        # As it was before, a shared setting may still be marked as ours.
        if where == "before" and not setting.shared:
            continue
        if setting.shelter and back.exposed:
            words = f"{setting.resource} stays: what relies on it could not be taken back."
            back.drift.append(_because(setting, words))
        elif where != "drift" or overwrite:
            back.write(platform, setting, setting.before, moment)
        else:
            back.drift.append(_drift(setting, current))
            back.exposed = back.exposed or current is not None
            if setting.shared and current is not None:
                back.write(platform, setting, LET_GO, moment)
    return LetGo(
        released_at=datetime.now(UTC),
        restored=not back.drift,
        was_standing=was_standing,
        drift=tuple(back.drift),
        kept=tuple(back.kept),
    )


@dataclass
class _Back:
    """What became of the way back so far. `exposed`: something that could not be taken back may need its shelter."""

    drift: list[Drift] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    exposed: bool = False

    def write(self, platform: Platform, setting: Setting, value: JsonValue, moment: Moment) -> None:
        try:
            platform.write(setting, value, moment)
        except StillHeld as error:
            self.kept.append(error.summary)
        except (PlatformRefused, PlanStale, TargetUnknown) as error:
            self.failed(setting, error)

    def failed(self, setting: Setting, error: FirebreakError) -> None:
        self.drift.append(_because(setting, str(error)))
        self.exposed = self.exposed or not isinstance(error, TargetUnknown)


def in_words(setting: Setting, current: JsonValue) -> str:
    """What was expected of a setting and what was found."""
    return (
        f"{setting.resource}: {setting.attribute} is {_short(current)}, "
        f"expected {_short(setting.before)} or {_short(setting.after)}."
    )


def _drift(setting: Setting, current: JsonValue) -> Drift:
    return Drift(resource=setting.resource, attribute=setting.attribute, words=in_words(setting, current))


def _because(setting: Setting, words: str) -> Drift:
    return Drift(resource=setting.resource, attribute=setting.attribute, words=words)


def _short(value: JsonValue) -> str:
    text = "not there" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."

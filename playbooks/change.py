"""Changes on a platform: what is set, what it was before, and how it is taken back. Pure.

Owns the shape that every kill-switch but the host's plans in, and the one rule by which a setting is applied, repeated,
released and called drifted. Planning is in `playbooks.kubernetes` and `playbooks.aws`, applying in
`activities.killswitch`.

    setting = Setting(resource="node/n1", attribute="unschedulable", before=False, after=True, words="cordon node n1",
                      permissions=("patch nodes",))
    standing(setting, current=True)   # -> "after": there is nothing to do
    change.inverse().settings         # the same settings backwards, in reverse order
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from playbooks.canonical import digest
from segmentation.workloads import Frozen, Name

# Stand for what is known only when a setting is written. A platform writes the time, and reads any time back as this.
APPLIED_AT = "@applied-at"
LEASE_UNTIL = "@lease-until"
# What a platform reads where the lease's end has passed: our value is still there, and has no force any more.
LEASE_LAPSED = "@lease-lapsed"
# Written into a shared setting: it is not ours any more, and what is there stays as it is.
LET_GO = "@let-go"

Standing = Literal["before", "after", "via", "lapsed", "drift"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]


def _is_none(value: object) -> bool:
    return value is None


def _is_true(value: object) -> bool:
    return value is True


def _is_false(value: object) -> bool:
    return value is False


class Setting(Frozen):
    """One attribute of one resource: what it was and what it is to be.

    `before` and `after` are what the platform reads: None where the resource or the attribute is not there.
    """

    resource: Text = Field(description="What is set, in the platform's words: `network-interface/eni-1`.")
    attribute: Name = Field(description="Which of its attributes; with the resource's kind it names who sets it.")
    before: JsonValue
    after: JsonValue
    via: JsonValue = Field(
        default=None,
        exclude_if=_is_none,
        description="Written for a moment on the way to `after`, never on the way back.",
    )
    edited: JsonValue = Field(
        default=None,
        exclude_if=_is_none,
        description="An object of ours as somebody has changed it: set right, and released to `before` all the same.",
    )
    words: Text = Field(description="What it does, for the people who decide.")
    permissions: tuple[str, ...] = Field(description="What the platform must allow for it, as the platform names it.")
    essential: bool = Field(
        default=True,
        exclude_if=_is_true,
        description="False: a precaution. If it fails the cut goes on, and the record says so.",
    )
    reversible: bool = Field(
        default=True, exclude_if=_is_true, description="False: release leaves it as it is, and the plan says so."
    )
    shared: bool = Field(
        default=False,
        exclude_if=_is_false,
        description="True: others may want the same. Who holds it is kept on the platform, and whoever lets "
        "go last restores it.",
    )
    shelter: bool = Field(
        default=False,
        exclude_if=_is_false,
        description="True: what was set after it relies on it, so it stays while any of that could not be taken back.",
    )

    @property
    def place(self) -> tuple[str, str]:
        """What this setting sets."""
        return self.resource, self.attribute

    @property
    def dated(self) -> bool:
        """Whether its value carries the end of the lease, so that the platform itself lets go in time."""
        return LEASE_UNTIL in str(self.after)

    def inverse(self) -> "Setting":
        """The way back."""
        back = {"before": self.after, "after": self.before, "via": None, "edited": None}
        return self.model_copy(update={**back, "words": f"back: {self.words}"[:2048]})


class PlatformChange(Frozen):
    """The planned difference of one target; its settings are applied in their order, and taken back in reverse."""

    incident_id: Name
    target_id: Name
    platform: Literal["kubernetes", "aws"]
    mechanism: Name = Field(description="How the target is cut off, for example `network-policy` or `security-group`.")
    why: str = Field(default="", description="Why this mechanism and no other.")
    settings: tuple[Setting, ...]
    cuts: tuple[str, ...] = Field(default=(), description="What can't talk any more, in words.")
    stays: tuple[str, ...] = Field(default=(), description="What goes on, in words.")
    cannot: tuple[str, ...] = Field(default=(), description="What this change does not cut, and why.")
    lease_seconds: int = Field(ge=1)
    ends: Literal["open", "closed"]
    dead_man: str = Field(default="", description="What ends the lease if every process of ours is dead.")

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to apply."""
        return not self.settings

    @property
    def plan_hash(self) -> str:
        """What a gate approves and an order carries."""
        return digest(self)

    @property
    def permissions(self) -> tuple[str, ...]:
        """Everything that the platform must allow, each once."""
        return tuple(sorted({permission for setting in self.settings for permission in setting.permissions}))

    @property
    def summary(self) -> tuple[str, ...]:
        """The change in words, for the people who decide."""
        end = "it is lifted" if self.ends == "open" else "it holds until released"
        return (
            *([f"by {self.mechanism}: {self.why}"] if self.why else [f"by {self.mechanism}"]),
            *(setting.words + ("" if setting.reversible else " (can't be taken back)") for setting in self.settings),
            *(f"cuts: {words}" for words in self.cuts),
            *(f"stays: {words}" for words in self.stays),
            *(f"can't be cut: {words}" for words in self.cannot),
            f"lease of {self.lease_seconds} s, renewed while the incident wants it; at its end {end}",
            *([f"if every process of ours dies: {self.dead_man}"] if self.dead_man else []),
        )

    def inverse(self) -> "PlatformChange":
        """The change that lifts this one, last setting first; what can't be taken back is left out."""
        back = tuple(setting.inverse() for setting in reversed(self.settings) if setting.reversible)
        return self.model_copy(update={"settings": back})


def standing(setting: Setting, current: JsonValue) -> Standing:
    """Where a setting stands now; `drift` where somebody else has set it to something that is neither.

    `lapsed`: as we set it, but the lease's end that it carries has passed, so that it has no force any more.
    """
    if current == setting.after:
        return "after"
    if current == setting.before:
        return "before"
    if setting.dated and current == _lapsed(setting.after):
        return "lapsed"
    return "via" if current is not None and current in (setting.via, setting.edited) else "drift"


def _lapsed(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _lapsed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_lapsed(inner) for inner in value]
    return LEASE_LAPSED if value == LEASE_UNTIL else value


def replanned(earlier: PlatformChange, later: PlatformChange) -> PlatformChange:
    """A new plan of a target on which parts of an earlier plan stand: those keep what was there before them.

    A setting of the earlier plan that the later one does not name stands already, and one that was left between its two
    steps is still its own. Any other that both name is where somebody else has been: what is there now is what will be
    restored.
    """
    newer = {setting.place: setting for setting in later.settings}
    kept = tuple(_later_of(setting, newer.pop(setting.place, setting)) for setting in earlier.settings)
    return later.model_copy(update={"settings": (*kept, *newer.values())})


def _later_of(earlier: Setting, later: Setting) -> Setting:
    halfway = earlier.via is not None and earlier.via == later.via and earlier.after == later.after
    return earlier if halfway and later.before == later.after else later

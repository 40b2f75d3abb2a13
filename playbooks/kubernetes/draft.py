"""What a planner of one kind of target hands to `playbooks.kubernetes.plan`, and how pods are named in words."""

from collections.abc import Iterable
from dataclasses import dataclass

from playbooks.change import Setting
from playbooks.kubernetes.observation import PodSeen

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Draft:
    """Settings in their order, and what they come to in words."""

    mechanism: str
    why: str
    settings: tuple[Setting, ...] = ()
    cuts: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()

    def __add__(self, other: "Draft") -> "Draft":
        """What comes beside it, after it."""
        return Draft(
            self.mechanism,
            self.why,
            self.settings + other.settings,
            self.cuts + other.cuts,
            self.stays + other.stays,
            self.cannot + other.cannot,
        )


def beside(
    settings: Iterable[Setting | None] = (),
    stays: Iterable[str] = (),
    cannot: Iterable[str] = (),
    cuts: Iterable[str] = (),
) -> Draft:
    """A draft to add to another."""
    return Draft("", "", tuple(s for s in settings if s is not None), tuple(cuts), tuple(stays), tuple(cannot))


def named(pods: Iterable[PodSeen]) -> str:
    """Pods for people: `pod shop/web-1`, or the first of many and how many more."""
    names = [f"{pod.namespace}/{pod.name}" for pod in pods]
    more = len(names) - _NAMED_AT_MOST
    first = ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
    return f"pod {first}" if len(names) == 1 else f"pods {first}"

"""What people read about a lease: what was not as it should be, that it ends, that it has ended. Pure."""

from datetime import datetime
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.killswitch import Contained

from workflows.switches import Standing


def shortcomings(standing: Standing) -> str:
    """What is said not to be as it should be, though the change was applied."""
    if isinstance(standing, Contained):
        return "; ".join(standing.problems)
    unread = "" if standing.read_back else "its rules could not be read back whole"
    return "; ".join(filter(None, (unread, standing.detail)))


def last_renewal(ends: Literal["open", "closed"], until: datetime) -> str:
    """What has to be known before a lease has had its longest time."""
    if ends == "closed":
        return "its lease has had its longest time: it holds until a person releases it"
    return f"its lease has had its longest time and ends at {until:%Y-%m-%d %H:%M} UTC: contain it anew to keep it"


def lapsed(until: datetime | None, now: datetime) -> str:
    """What the clock says of a lease that can't be renewed: its dead-man asks nobody."""
    if until is None or now < until:
        return ""
    return f"; its lease ran out at {until:%H:%M:%S} UTC: it is no longer cut off"

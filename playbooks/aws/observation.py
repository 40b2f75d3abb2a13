"""What an AWS target looked like before a change. Pure shapes.

Owns the observation: facts by resource and attribute, in exactly the form in which a Setting's `before` has them, so
that what was read is what is restored. Which facts a kind of target needs is its planner's to know.
"""

from typing import Literal

from pydantic import Field, JsonValue

from segmentation.workloads import AwsRef, Frozen, Name


class Fact(Frozen):
    """One attribute of one resource as it was read; None: it is not there."""

    resource: str
    attribute: Name
    value: JsonValue


class AwsObservation(Frozen):
    """One target in one account and region at one moment."""

    platform: Literal["aws"] = "aws"
    target_id: Name
    reference: AwsRef
    kind: Name = Field(description="The target's kind, for example `ec2-instance`.")
    labels: dict[str, str] = Field(default_factory=dict, description="Its tags.")
    addresses: tuple[str, ...] = ()
    facts: tuple[Fact, ...]

    def value(self, resource: str, attribute: str) -> JsonValue:
        """What was read there; None where nothing was."""
        return next((f.value for f in self.facts if (f.resource, f.attribute) == (resource, attribute)), None)

    def was_read(self, resource: str, attribute: str) -> bool:
        """Whether anybody looked there."""
        return any((fact.resource, fact.attribute) == (resource, attribute) for fact in self.facts)

    def resources(self, kind: str) -> tuple[str, ...]:
        """Every resource of a kind, in the order it was seen: `network-interface` -> (".../eni-1", ...)."""
        return tuple(dict.fromkeys(f.resource for f in self.facts if f.resource.startswith(f"{kind}/")))

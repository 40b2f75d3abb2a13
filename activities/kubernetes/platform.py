"""Kubernetes as a platform of the kill-switch: one cluster, opened for one incident.

Owns which attribute is whose. Never plans, and never decides whether a setting stands: that
is `activities.killswitch.engine`'s.

    open_platform({"prod": open_cluster(None)})(workload, "inc-1").observe(workload, intent)
"""

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from kubernetes.client import ApiClient
from pydantic import JsonValue

from activities.killswitch.platform import Moment, PlatformRefused, TargetUnknown
from activities.killswitch.verbs import OpenPlatform
from activities.kubernetes import bindings, identities, objects, parts
from activities.kubernetes.calls import Calls
from activities.kubernetes.discovery import Discovery
from activities.kubernetes.observe import OBSERVING, OBSERVING_ACCOUNTS, Asking, observe
from activities.kubernetes.recent import Recent
from activities.kubernetes.settings import Attribute, Attributes, Session, Writing
from activities.kubernetes.sharing import SharedLists
from playbooks.change import Setting
from playbooks.kubernetes.marks import object_name
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.platform_intent import PlatformIntent
from segmentation.errors import FirebreakError
from segmentation.workloads import Name, Workload

# Requests to one cluster, whoever they are for; fewer than its client keeps connections.
AT_ONCE = 24
# What every worker may. The other is optional: who may bind roles can give itself every right there is.
BASE: Attributes = {**objects.ATTRIBUTES, **parts.ATTRIBUTES}
IDENTITY: Attributes = {**identities.ATTRIBUTES, **bindings.ATTRIBUTES}
ATTRIBUTES: Attributes = {**BASE, **IDENTITY}


def _all(attributes: Attributes) -> tuple[str, ...]:
    return tuple(permission for attribute in attributes.values() for permission in attribute.permissions)


PERMISSIONS = frozenset((*OBSERVING, *_all(BASE)))
IDENTITY_PERMISSIONS = frozenset((*OBSERVING_ACCOUNTS, *_all(IDENTITY))) - PERMISSIONS


class KubernetesPlatform:
    """One cluster for one incident; see `activities.killswitch.platform.Platform`. Not for several threads at once."""

    def __init__(self, asking: Asking, incident_id: str, target_id: str) -> None:
        self._asking = asking
        self._incident_id, self._target_id = incident_id, target_id

    @functools.cached_property
    def _session(self) -> Session:
        recent = self._asking.recent.take((self._incident_id, self._target_id))
        return Session(self._asking.calls, self._incident_id, self._holder, recent)

    @property
    def _holder(self) -> str:
        return object_name(self._incident_id, self._target_id)

    def observe(self, target: Workload, intent: PlatformIntent) -> KubernetesObservation:
        """The target as it is now. Read-only."""
        return observe(self._asking, target, intent, self._holder)

    def read(self, setting: Setting) -> JsonValue:
        """The attribute as it is now; None where it is not there."""
        return _attribute(setting).read(self._session, setting)

    def write(self, setting: Setting, value: JsonValue, moment: Moment) -> None:
        """Set the attribute of exactly what was read; None removes it."""
        del moment  # nothing on Kubernetes carries the lease's end: no API server lets go by itself
        try:
            _attribute(setting).write(self._session, Writing(setting, value))
        finally:
            self._asking.lists.forget()

    def refusal(self, setting: Setting, value: JsonValue) -> str:
        """What the API server's dry run says against it."""
        try:
            _attribute(setting).write(self._session, Writing(setting, value, dry_run=True))
        except FirebreakError as error:
            if error.retryable:
                raise
            return error.summary
        return ""


def open_platform(clusters: Mapping[str, ApiClient]) -> OpenPlatform:
    """Opens one of these clusters for an incident; what is known of a cluster is shared by its incidents."""
    served = {name: _asking(Calls(client, name)) for name, client in clusters.items()}

    def opened(target: Workload, incident_id: Name) -> KubernetesPlatform:
        cluster = target.kubernetes.cluster if target.kubernetes else ""
        if cluster not in served:
            raise TargetUnknown(
                f"{target.name} is in cluster {cluster or '(none named)'}, which this worker does not serve.",
                hint=f"It serves {', '.join(sorted(served)) or 'none'}.",
            )
        return KubernetesPlatform(served[cluster], incident_id, target.workload_id)

    return opened


def _asking(calls: Calls) -> Asking:
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"observe-{calls.cluster}")
    return Asking(calls, pool, SharedLists(calls, pool), Discovery(calls), Recent())


def _attribute(setting: Setting) -> Attribute:
    kind = setting.resource.partition("/")[0]
    found = ATTRIBUTES.get((kind, setting.attribute))
    if found is None:
        raise PlatformRefused(f"{setting.attribute} of {setting.resource} is nothing that can be set on Kubernetes.")
    return found

"""The verbs of the Kubernetes API: get, list, apply, patch, create, delete, and what we are allowed.

Owns paging, preconditions and the error of each answer that is no success. Never knows what is asked for.

    calls = Calls(open_cluster(None), "prod")
    calls.get(Place(PODS, "shop", "web-1"))                            # -> the pod as a dict, or None
    calls.every(Place(PODS, "shop"), fields="spec.nodeName=n1")
"""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from kubernetes.client import ApiClient

from activities.killswitch.platform import PlatformUnreachable
from activities.kubernetes import refusals
from activities.kubernetes.places import Api, Place
from activities.kubernetes.transport import JSON, Answer, Ask, Patience, Transport
from playbooks.kubernetes.marks import FIELD_MANAGER

Raw = dict[str, Any]
PAGE_ITEMS = 500
_MERGE_PATCH, _APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
_METADATA = "application/json;as={kind};g=meta.k8s.io;v=v1"
_ACCESS_REVIEWS = Place(Api("authorization.k8s.io", "v1", "selfsubjectaccessreviews"))
_SUCCESS = range(200, 300)


class Calls:
    """One cluster's API by one identity. Safe to share between threads."""

    def __init__(self, client: ApiClient, cluster: str, patience: Patience | None = None) -> None:
        self._transport = Transport(client, cluster, patience)
        self.cluster = cluster

    def get(self, place: Place, *, metadata_only: bool = False) -> Raw | None:
        """An object; None where there is none. With `metadata_only` its content never travels."""
        accept = _METADATA.format(kind="PartialObjectMetadata") if metadata_only else JSON
        answer = self._transport.send(Ask("get", "GET", place, accept=accept))
        if answer.code == refusals.NOT_FOUND and refusals.is_missing_object(answer):
            return None
        return self._document("get", place, answer)

    def every(self, place: Place, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> list[Raw]:
        """Every object of a collection, page by page; label and field selectors narrow it down."""
        accept = _METADATA.format(kind="PartialObjectMetadataList") if metadata_only else JSON
        query = {"limit": str(PAGE_ITEMS), "labelSelector": labels, "fieldSelector": fields}
        try:
            return self._pages(place, query, accept)[0]
        except refusals.ListExpired:
            # A server forgets a list's next page after minutes: it can't be continued, only begun anew.
            return self._pages(place, query, accept)[0]

    def first(self, place: Place, most: int, *, labels: str = "", fields: str = "") -> tuple[list[Raw], bool]:
        """At most so many objects of a collection, and whether these are all."""
        query = {"limit": str(min(most, PAGE_ITEMS)), "labelSelector": labels, "fieldSelector": fields}
        try:
            return self._pages(place, query, JSON, most)
        except refusals.ListExpired:
            return self._pages(place, query, JSON, most)

    def content(self, place: Place, query: Mapping[str, str]) -> bytes:
        """The bytes of a subresource that is no JSON object: a log."""
        answer = self._transport.send(Ask("get", "GET", place, query, accept="*/*"))
        return answer.content if answer.code in _SUCCESS else self._raise("get", place, answer)

    def apply(self, place: Place, body: Raw, *, dry_run: bool = False) -> Raw:
        """Server-side apply; what another field manager has set is an error, never overwritten."""
        query = {"fieldManager": FIELD_MANAGER, "force": "false"} | _dry(dry_run)
        return self._write(Ask("patch", "PATCH", place, query, body, _APPLY))

    def patch(self, place: Place, body: Raw, *, dry_run: bool = False) -> Raw:
        """JSON merge patch. A uid and a resourceVersion in the body's metadata are preconditions."""
        query = {"fieldManager": FIELD_MANAGER} | _dry(dry_run)
        return self._write(Ask("patch", "PATCH", place, query, body, _MERGE_PATCH))

    def create(self, place: Place, body: Raw, *, dry_run: bool = False) -> Raw:
        """Create an object in a collection."""
        return self._write(Ask("create", "POST", place, {"fieldManager": FIELD_MANAGER} | _dry(dry_run), body))

    def delete(self, place: Place, found: Raw, *, dry_run: bool = False) -> None:
        """Delete the object that was found: not one changed since, nor one that has taken its name."""
        wanted = {name: found["metadata"][name] for name in ("uid", "resourceVersion")}
        # In the body, not in the query: a server that gets options in the body does not look at the query.
        dry = {"dryRun": ["All"]} if dry_run else {}
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": wanted, **dry}
        self._write(Ask("delete", "DELETE", place, body=options))

    def discover(self, path: str, accept: str = JSON) -> Raw:
        """What a path of discovery answers."""
        place = Place(Api("", path.lstrip("/"), ""))
        return self._document("get", place, self._transport.send(Ask("get", "GET", place, accept=accept, path=path)))

    def allowed(self, verb: str, place: Place) -> bool:
        """Whether RBAC grants us this; True where the server won't tell."""
        wanted = {
            "verb": verb,
            "group": place.api.group,
            "resource": place.api.plural,
            "subresource": place.subresource,
            "namespace": place.namespace,
            "name": place.name,
        }
        body = {"spec": {"resourceAttributes": wanted}}
        answer = self._transport.send(Ask("create", "POST", _ACCESS_REVIEWS, body=body))
        return answer.code not in _SUCCESS or bool(answer.document.get("status", {}).get("allowed"))

    def _pages(
        self, place: Place, query: dict[str, str], accept: str, most: float = math.inf
    ) -> tuple[list[Raw], bool]:
        items: list[Raw] = []
        following = ""
        while True:
            answer = self._transport.send(Ask("list", "GET", place, {**query, "continue": following}, accept=accept))
            page = self._document("list", place, answer)
            items += page.get("items") or []
            following = page.get("metadata", {}).get("continue") or ""
            if not following or len(items) >= most:
                return items, not following

    def _write(self, ask: Ask) -> Raw:
        return self._document(ask.verb, ask.place, self._transport.send(ask))

    def _document(self, verb: str, place: Place, answer: Answer) -> Raw:
        if answer.code in _SUCCESS and answer.document:
            return answer.document
        if answer.code in _SUCCESS:
            raise PlatformUnreachable(
                f"What answers for cluster {self.cluster} is not an API server: {answer.text[:80]!r}"
            )
        return self._raise(verb, place, answer)

    def _raise(self, verb: str, place: Place, answer: Answer) -> NoReturn:
        # 403 is said by RBAC and by admission alike, told apart by asking what RBAC grants.
        if answer.code == refusals.FORBIDDEN and not self.allowed(verb, place):
            raise refusals.permission_missing(self.cluster, place.permission(verb), place)
        raise refusals.refused(self.cluster, verb, place, answer)


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}

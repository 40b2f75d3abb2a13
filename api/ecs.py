"""From an ECS document to an Alert.

Owns which ECS fields count, under which names sources write them, and errors that point at the sender's own
field. Fields of ECS that Firebreak does not use are ignored; those it uses are checked. Pure.

    alert_from_ecs({"rule": {"name": "Lateral movement"}, "host.name": "web"})
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from api.errors import BodyInvalid, FieldProblem
from api.problems import MAX_FIELDS, pointer
from playbooks.alerts import Alert

# Where each field may stand, the first one found wins. The Kibana names are those of Elastic Security's
# alerts.
FIELDS: dict[str, tuple[str, ...]] = {
    "event.id": ("event.id", "kibana.alert.uuid"),
    "event.created": ("event.created", "@timestamp"),
    "event.severity": ("event.severity", "kibana.alert.risk_score"),
    "event.action": ("event.action",),
    "event.reason": ("event.reason", "kibana.alert.reason"),
    "rule.name": ("rule.name", "kibana.alert.rule.name"),
    "rule.id": ("rule.id", "kibana.alert.rule.uuid"),
    "host.name": ("host.name",),
    "host.id": ("host.id",),
    "host.ip": ("host.ip",),
    "source.ip": ("source.ip",),
    "source.port": ("source.port",),
    "destination.ip": ("destination.ip",),
    "destination.port": ("destination.port",),
    "orchestrator.cluster.name": ("orchestrator.cluster.name",),
    "orchestrator.namespace": ("orchestrator.namespace", "kubernetes.namespace"),
    "orchestrator.resource.name": ("kubernetes.pod.name", "orchestrator.resource.name"),
    "cloud.account.id": ("cloud.account.id",),
    "cloud.region": ("cloud.region",),
    "cloud.instance.id": ("cloud.instance.id",),
    "targets": ("targets", "firebreak.targets"),
    "message": ("message",),
    "evidence_ids": ("evidence_ids", "firebreak.evidence_ids"),
}
LISTS = {"host.ip", "evidence_ids", "targets"}
Found = dict[str, tuple[str, Any]]


def alert_from_ecs(document: dict[str, Any]) -> Alert:
    """The alert that a document with nested or dotted keys says.

    Raises:
        BodyInvalid: with a pointer to each field that is missing or wrong.
    """
    found = _known_fields(document)
    alert: dict[str, Any] = {}
    for path, (_, value) in found.items():
        *holders, leaf = path.split(".")
        node = alert
        for holder in holders:
            node = node.setdefault(holder, {})
        node[leaf] = value
    try:
        return Alert.model_validate(alert)
    except ValidationError as error:
        fields = tuple(_explain(error, found))
        raise BodyInvalid(
            f"The alert has {len(fields)} invalid field(s).", hint="See errors for each field.", fields=fields
        ) from None


def _known_fields(document: dict[str, Any]) -> Found:
    found: Found = {}
    for path, names in FIELDS.items():
        for name in names:
            place = _look_up(document, tuple(name.split(".")))
            if place is not None and place[1] is not None:
                found[path] = (pointer(place[0]), _as_list(place[1]) if path in LISTS else _single(place[1]))
                break
    found |= _techniques(document) | _labels(document)
    return found


def _look_up(node: Any, parts: tuple[str, ...]) -> tuple[tuple[str, ...], Any] | None:
    """Follow a path whose parts may be joined by dots in any way; the keys as they stand, and the value."""
    if not parts:
        return (), node
    if not isinstance(node, dict):
        return None
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in node:
            below = _look_up(node[key], parts[length:])
            if below is not None:
                return (key, *below[0]), below[1]
    return None


def _single(value: Any) -> Any:
    # ECS knows no arrays apart from values: [x] and x mean the same.
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _techniques(document: dict[str, Any]) -> Found:
    """ATT&CK techniques, as a list of objects or as parallel lists of ids and names."""
    place = _look_up(document, ("threat", "technique"))
    if place is not None and isinstance(place[1], list):
        kept = [{k: t.get(k) for k in ("id", "name")} if isinstance(t, dict) else t for t in place[1]]
        return {"threat.technique": (pointer(place[0]), kept)}
    ids = _look_up(document, ("threat", "technique", "id"))
    names = _look_up(document, ("threat", "technique", "name"))
    if ids is None and names is None:
        return {}
    at = (ids or names or ((), None))[0]
    pairs = zip(*_same_length(_values(ids), _values(names)), strict=True)
    return {"threat.technique": (pointer(at[:-1]), [{"id": i, "name": n} for i, n in pairs])}


def _values(place: tuple[tuple[str, ...], Any] | None) -> list[Any]:
    return _as_list(place[1]) if place is not None else []


def _same_length(left: list[Any], right: list[Any]) -> tuple[list[Any], list[Any]]:
    length = max(len(left), len(right))
    return left + [None] * (length - len(left)), right + [None] * (length - len(right))


def _labels(document: dict[str, Any]) -> Found:
    labels = document.get("labels")
    if labels is not None and not isinstance(labels, dict):
        return {"labels": ("/labels", labels)}
    dotted = {key.removeprefix("labels."): value for key, value in document.items() if key.startswith("labels.")}
    kept = {key: _label(value) for key, value in ((labels or {}) | dotted).items()}
    return {"labels": ("/labels", kept)} if kept else {}


def _label(value: Any) -> Any:
    """ECS labels are keywords; sources write numbers and booleans too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _explain(error: ValidationError, found: Found) -> Iterator[FieldProblem]:
    for wrong in error.errors()[:MAX_FIELDS]:
        parts = tuple(str(part) for part in wrong["loc"])
        for length in (3, 2, 1):
            if ".".join(parts[:length]) in found:
                base, rest = found[".".join(parts[:length])][0], parts[length:]
                break
        else:
            base, rest = "", parts
        yield FieldProblem(base + pointer(rest), str(wrong["msg"])[:300])

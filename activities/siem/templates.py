"""Index templates: how the SIEM reads our documents.

Owns the mappings of the indices that we write. Without them a SIEM guesses, takes addresses for prose and
can't group by them. Never touches an index that exists, nor a template that isn't ours.

    install_templates(siem_client("http://127.0.0.1:9200"))   # once, before the first document
"""

from typing import Any

from elasticsearch import Elasticsearch

FLOWS = "firebreak-flows"
INCIDENTS = "firebreak-incidents"

_KEYWORD = {"type": "keyword", "ignore_above": 1024}
_ENDPOINT = {"properties": {"ip": {"type": "ip"}, "port": {"type": "integer"}}}
_EVENT = {
    "properties": {
        "created": {"type": "date"},
        "severity": {"type": "integer"},
        "reason": {"type": "text"},
    }
}
_HOST = {"properties": {"ip": {"type": "ip"}, "name": _KEYWORD, "id": _KEYWORD}}
_COMMON = {"@timestamp": {"type": "date"}, "event": _EVENT, "host": _HOST, "message": {"type": "text"}}
_MAPPINGS: dict[str, dict[str, Any]] = {
    FLOWS: {**_COMMON, "source": _ENDPOINT, "destination": _ENDPOINT},
    # Details differ from event to event: kept but not indexed, so that no two can contradict in type.
    INCIDENTS: {**_COMMON, "firebreak": {"properties": {"details": {"type": "object", "enabled": False}}}},
}


def install_templates(client: Elasticsearch) -> None:
    """Put our index templates, again or for the first time.

    Permissions: cluster `manage_index_templates`. Raises what the client raises.
    """
    for name, properties in _MAPPINGS.items():
        client.indices.put_index_template(
            name=name,
            index_patterns=[name, f"{name}-*"],
            priority=200,
            template={
                "mappings": {
                    "dynamic_templates": [{"words": {"match_mapping_type": "string", "mapping": _KEYWORD}}],
                    "properties": properties,
                }
            },
        )

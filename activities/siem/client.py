"""The SIEM's client: one for Elasticsearch 8 and 9 and for what speaks its dialect, OpenSearch among them.

Owns how the client talks: plain JSON, bounded waiting, no retry of its own (activities are retried). Never
knows an index; credentials come in the URL's user part or as an API key, never from a default.

    siem_client("http://127.0.0.1:9200").search(index="firebreak-flows", query={"match_all": {}})
"""

from dataclasses import replace

from elastic_transport import HttpHeaders, Urllib3HttpNode
from elastic_transport._node import NodeApiResponse
from elastic_transport.client_utils import DEFAULT, DefaultType
from elasticsearch import Elasticsearch

REQUEST_SECONDS = 10.0
_VENDOR = "application/vnd.elasticsearch+"


class PlainJsonNode(Urllib3HttpNode):
    """A node that is asked, and answers, in plain JSON.

    elasticsearch-py 9 asks for `application/vnd.elasticsearch+json; compatible-with=9`, which OpenSearch
    refuses with 406, and it refuses any answer without Elasticsearch's product header.
    """

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> NodeApiResponse:
        """One request; see `elastic_transport.BaseNode.perform_request`."""
        plain = HttpHeaders({name: _plain(value) for name, value in (headers or {}).items()})
        meta, content = super().perform_request(method, target, body, plain, request_timeout)
        known = meta.headers.copy()
        known.setdefault("x-elastic-product", "Elasticsearch")
        return NodeApiResponse(replace(meta, headers=known), content)


def siem_client(url: str, *, api_key: str | None = None) -> Elasticsearch:
    """A client of the SIEM at `url`; connects with the first request."""
    return Elasticsearch(
        url,
        api_key=api_key,
        node_class=PlainJsonNode,
        request_timeout=REQUEST_SECONDS,
        max_retries=0,
        retry_on_timeout=False,
    )


def _plain(value: str) -> str:
    """`application/vnd.elasticsearch+x-ndjson; compatible-with=9` -> `application/x-ndjson`."""
    return value.replace(_VENDOR, "application/").split(";")[0] if value.startswith(_VENDOR) else value

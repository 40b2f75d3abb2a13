"""The vault's door as the API keeps it, over the same `incoming`, on a server that can be told to misbehave."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from activities.evidence.errors import UploadElsewhere, UploadRefused, VaultConflict, VaultMismatch
from activities.evidence.receive import OFFSET_HEADER, check_upload
from activities.evidence.vault.arriving import Place
from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.local import LocalVault
from activities.evidence.vault.spool import Part

HOST = "9f2c"


class VaultServer(ThreadingHTTPServer):
    """`failures`: what becomes of the first PUTs, each in turn.

    A status to answer, 0 for a connection that breaks after the body, -1 in the middle of it, None for nothing unusual.
    """

    daemon_threads = True

    def __init__(self, vault: LocalVault, public_key: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vault, self.public_key = vault, public_key
        self.incoming = Incoming(vault.root / "spool", vault)
        self.failures: list[int | None] = []
        self.puts: list[int] = []
        self.bytes_taken = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: VaultServer
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        place, offset = self._place()
        self.server.puts.append(offset)
        failure = self.server.failures.pop(0) if self.server.failures else None
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length // 2 if failure == -1 else length)
        if failure == -1:
            part = self.server.incoming.begin(place, offset, "0" * 64)
            assert isinstance(part, Part)
            self.server.incoming.write(place, part, [body])
        if failure in (0, -1):
            self.close_connection = True
        elif failure:
            self._answer(failure, "not now", {"Retry-After": "0"})
        else:
            self._take(place, offset, body)

    def do_HEAD(self) -> None:
        self._claim()
        self._answer(204, "", {OFFSET_HEADER: str(self.server.incoming.offset(self._place()[0]))})

    def _take(self, place: Place, offset: int, body: bytes) -> None:
        try:
            sha256 = self._claim()
            part = self.server.incoming.begin(place, offset, sha256)
            if not isinstance(part, Part):
                self._answer(201, part.result().model_dump_json())
                return
            self.server.bytes_taken += len(body)
            self.server.incoming.write(place, part, [body])
            self.server.incoming.finish(place, part, sha256)
            if self.server.incoming.is_whole(place, part):
                self._answer(201, self.server.incoming.keep(place, part, sha256).result().model_dump_json())
            else:
                self._answer(202, "{}", {OFFSET_HEADER: str(part.end)})
        except UploadElsewhere as error:
            self._answer(409, str(error), {OFFSET_HEADER: str(error.offset)})
        except VaultMismatch as error:
            self._answer(422, '{"code": "%s"}' % error.code)  # noqa: UP031 - JSON's braces
        except (UploadRefused, VaultConflict) as error:
            self._answer(409 if isinstance(error, VaultConflict) else 401, str(error))

    def _claim(self) -> str:
        key, headers = self.server.public_key, dict(self.headers.items())
        claim = check_upload(self.command, self.path, headers, public_key=key, now=time.time())
        assert claim.host_id == HOST
        return claim.sha256

    def _place(self) -> tuple[Place, int]:
        parts = urlsplit(self.path)
        _, _, _, incident_id, evidence_id = parts.path.split("/")
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        place = Place(
            host_id=HOST, case_id=incident_id, evidence_id=evidence_id, name=asked["name"], size=int(asked["size"])
        )
        return place, int(asked.get("offset", 0))

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Quiet."""

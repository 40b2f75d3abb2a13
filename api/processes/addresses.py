"""Addresses of the control plane as hosts see them: the lifeline.

Owns how settings become addresses and ports of rules. Resolves names once, at the start: a contained host may have no
DNS, and rules hold addresses.
"""

import socket
from urllib.parse import urlsplit

from api.settings import ControlSettings, SettingsInvalid
from playbooks.host_isolation import LifelineEndpoint


def lifeline_of(settings: ControlSettings) -> tuple[LifelineEndpoint, ...]:
    """The addresses and ports of the control plane that an isolated host may still reach."""
    host = settings.advertise_host
    temporal = settings.advertise_temporal_port or port_of(settings.temporal_address)
    endpoints = [("temporal", temporal), ("api", settings.api_port)]
    if settings.siem_url:
        endpoints.append(("siem", port_of(settings.siem_url)))
    return tuple(
        LifelineEndpoint.model_validate({"purpose": purpose, "address": address, "port": port})
        for address in addresses_of(host)
        for purpose, port in endpoints
    )


def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses behind a name; rules hold addresses, and a contained host may have no DNS."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsInvalid(
            f"advertise_host {host} has no address: {error}.",
            hint="Set FIREBREAK_ADVERTISE_HOST to an address.",
        ) from error
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def port_of(address: str) -> int:
    """The port of `host:port` or of a URL."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return parts.port or {"https": 443, "http": 80}.get(parts.scheme, 7233)

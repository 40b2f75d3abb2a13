"""Where the parts of a node of `firebreak up` listen, and at which addresses they and the hosts find each other.

Owns how `bind` and `advertise_host` become addresses. Never listens, never looks a name up.
"""

from api.processes.forwarding import LOOPBACK
from api.settings import SettingsInvalid, UpSettings

EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - to recognise, not to bind


def temporal_address(settings: UpSettings) -> str:
    """Where this node's own processes find the embedded Temporal."""
    return f"{LOOPBACK}:{settings.temporal_port}"


def api_url(settings: UpSettings) -> str:
    """Where the API listens."""
    return f"http://{local_host(settings)}:{settings.api_port}"


def local_host(settings: UpSettings) -> str:
    """The address at which this node's own processes find the API."""
    return LOOPBACK if settings.bind in EVERY_ADDRESS else settings.bind


def forwarded_ports(settings: UpSettings) -> list[int]:
    """Ports of the parts that hosts must reach and that listen on loopback alone."""
    if settings.bind in {LOOPBACK, *EVERY_ADDRESS}:
        return []
    return [settings.temporal_port, *([settings.siem_port] if settings.siem_port else [])]


def advertised_host(settings: UpSettings) -> str:
    """The address at which hosts reach this node: as set, or the one that it listens on.

    Raises:
        SettingsInvalid: it listens on every address, and nobody said which of them hosts are to use.
    """
    if "advertise_host" in settings.model_fields_set:
        return settings.advertise_host
    if settings.bind in EVERY_ADDRESS:
        raise SettingsInvalid(
            f"With --bind {settings.bind} hosts must be told one address of this node, and none is named.",
            hint="Name it with --advertise-host: isolated hosts keep exactly this address reachable.",
        )
    return settings.bind

"""The client of a cluster's API server: how it connects, and how long it waits.

Owns credentials, pool and timeouts. Never retries by itself: `activities.kubernetes.calls` does, and says so.

    client = open_cluster(Path("/etc/firebreak/prod.kubeconfig"))
    client = open_cluster(None)   # the service account of the pod we run in
"""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from activities.killswitch.platform import PlatformRefused

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
TIMEOUT = (CONNECT_SECONDS, READ_SECONDS)
# Observing asks for about ten lists at once, and ten targets are observed side by side: a connection that is kept open
# saves a TLS handshake on the way to the cut.
POOL_CONNECTIONS = 32
# Tokens are renewed minutes before they end.
TOKEN_SECONDS = 10.0

Hook = Callable[[Configuration], None]


def open_cluster(kubeconfig: Path | None) -> ApiClient:
    """A client with the credentials of a kubeconfig's current context, or of the pod that we run in.

    Raises:
        PlatformRefused: there are no such credentials.
    """
    configuration: Any = Configuration()  # its annotations know no hook
    try:
        if kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                str(kubeconfig), client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        raise PlatformRefused(
            f"No credentials for a cluster in {kubeconfig or 'the service account of this pod'}: {error}.",
            hint="Name a kubeconfig with a current context, or run in a pod with a service account token.",
        ) from error
    configuration.connection_pool_maxsize = POOL_CONNECTIONS
    # urllib3 would repeat DELETE and PUT silently: what was sent once has to be read back before it is sent again.
    configuration.retries = False
    configuration.refresh_api_key_hook = _seldom(configuration.refresh_api_key_hook)
    client = ApiClient(configuration)
    client.user_agent = "firebreak"
    return client


def _seldom(hook: Hook | None) -> Hook | None:
    """The package asks for a newer token before every request, and by every thread, which may start a program."""
    if hook is None:
        return None
    lock, last = Lock(), [-TOKEN_SECONDS]

    def refresh(configuration: Configuration) -> None:
        with lock:
            now = time.monotonic()
            if now - last[0] >= TOKEN_SECONDS:
                hook(configuration)
                # The package's own hook puts itself back in our place.
                configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
                last[0] = now

    return refresh

"""What a node of `firebreak up` hands its API and its worker: its own settings, as the variables that they read.

Owns that list. What a platform's worker is given is in `platform_roles`.
"""

from api.processes.forwarding import LOOPBACK
from api.processes.node_addresses import advertised_host, api_url, temporal_address
from api.processes.sealing import sealing_environment
from api.settings import UpSettings


def environment_of(settings: UpSettings) -> dict[str, str]:
    """The settings of the parts, as the variables that they read."""
    siem = f"http://{LOOPBACK}:{settings.siem_port}" if settings.siem_port else settings.siem_url
    chosen: dict[str, object] = {
        "state_dir": settings.state_dir.resolve(),
        "temporal_address": temporal_address(settings),
        "temporal_namespace": settings.temporal_namespace,
        "siem_url": siem,
        "siem_api_key": settings.siem_api_key.get_secret_value() if settings.siem_api_key else "",
        "log_format": "json",
        "log_level": settings.log_level,
        "bind": settings.bind,
        "intake_url": api_url(settings),
        "ledger_url": settings.ledger_url,
        "advertise_host": advertised_host(settings),
        "api_port": settings.api_port,
        "advertise_temporal_port": settings.advertise_temporal_port,
        "detect_every_seconds": settings.detect_every_seconds,
        "detect_source": settings.detect_source,
        "vault_dir": settings.vault_dir.resolve() if settings.vault_dir else "",
        "vault_bucket": settings.vault_bucket,
        "vault_prefix": settings.vault_prefix,
        "vault_region": settings.vault_region,
        "vault_endpoint_url": settings.vault_endpoint_url,
        "vault_lock_days": settings.vault_lock_days,
        "vault_key_file": settings.vault_key_file.resolve() if settings.vault_key_file else "",
        "vault_kms_key": settings.vault_kms_key,
        **sealing_environment(settings),
        "playbook_dir": settings.playbook_dir.resolve() if settings.playbook_dir else "",
        "safeguards_file": settings.safeguards_file.resolve() if settings.safeguards_file else "",
        "log_group": settings.log_group if settings.log_group is not None else "",
    }
    return {f"FIREBREAK_{key.upper()}": str(value) for key, value in chosen.items()}

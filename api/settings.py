"""Settings of every process: `FIREBREAK_...` variables, `.env`, and a YAML file named by `--config`.

Owns names, units, defaults and their reasons. The command line wins over the environment, the environment over `.env`,
`.env` over the file. No secret has a default.

    settings = load(UpSettings, config=None, api_port=8080)
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from segmentation.errors import FirebreakError


class SettingsInvalid(FirebreakError):
    """A setting that can't be used."""

    code: ClassVar[str] = "settings-invalid"


class Settings(BaseSettings):
    """What every process needs."""

    model_config = SettingsConfigDict(
        env_prefix="FIREBREAK_", env_file=".env", frozen=True, extra="ignore", env_ignore_empty=True
    )

    state_dir: Path = Field(default=Path("var/firebreak"), description="Keys, ledger, vault, logs; mode 0700.")
    log_format: Literal["console", "json"] = Field(default="console", description="json for a log pipeline.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info")
    temporal_address: str = Field(default="127.0.0.1:7233", description="host:port of Temporal's frontend.")
    temporal_namespace: str = Field(default="default")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In falling precedence."""
        file = YamlConfigSettingsSource(settings_cls)
        return (init_settings, env_settings, dotenv_settings, file, file_secret_settings)


class ControlSettings(Settings):
    """What the processes of the control plane share."""

    ledger_url: str = Field(default="", description="Empty: SQLite in the state directory. Else postgresql://...")
    siem_url: str = Field(default="", description="Elasticsearch or OpenSearch; empty: none, nothing is corroborated.")
    siem_api_key: SecretStr | None = Field(default=None, description="API key of the SIEM.")
    vault_dir: Path | None = Field(default=None, description="Evidence; default `vault` in the state directory.")
    advertise_host: str = Field(
        default="127.0.0.1",
        description="Address at which hosts reach Temporal, the API and the SIEM: the lifeline.",
    )
    advertise_temporal_port: int = Field(default=0, description="0: the port of temporal_address.")
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port of the API.")
    log_group: int | None = Field(default=None, description="NFLOG group that hears of what an isolation drops.")
    playbook_dir: Path | None = Field(default=None, description="Playbooks; default: the catalog that is installed.")

    @property
    def ledger(self) -> str:
        """The ledger's URL."""
        return self.ledger_url or f"sqlite:///{(self.state_dir / 'ledger.db').resolve()}"

    @property
    def vault(self) -> Path:
        """Where evidence is kept."""
        return self.vault_dir or self.state_dir / "vault"


class ServeSettings(ControlSettings):
    """`firebreak serve`."""

    bind: str = Field(default="127.0.0.1", description="Address that the API listens on; with `up`, all parts.")


class WorkerSettings(ControlSettings):
    """`firebreak worker`."""

    detect_every_seconds: int = Field(default=0, ge=0, description="How often the detections ask the SIEM; 0: never.")
    intake_url: str = Field(default="http://127.0.0.1:8080", description="The API, where our detections post.")
    detect_source: str = Field(default="firebreak", description="Webhook source that the detections post as.")


class UpSettings(WorkerSettings, ServeSettings):
    """`firebreak up`: one node with everything embedded."""

    temporal_port: int = Field(default=7233, ge=1, le=65535, description="Port of the embedded Temporal.")
    siem_port: int = Field(default=0, ge=0, le=65535, description="Port of the embedded SIEM; 0: none is started.")


class AgentSettings(Settings):
    """`firebreak agent`."""

    state_dir: Path = Field(default=Path("/var/lib/firebreak-agent"), description="Key, journal, recorder's ring.")
    name: str = Field(default="", description="Name of this host; empty: its hostname.")
    host_id: str = Field(default="", description="Id of this host; empty: /etc/machine-id.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels such as app, env, tier, role.")
    recorder: bool = Field(default=False, description="Keep a bounded ring of packets and events running.")
    recorder_interfaces: tuple[str, ...] = Field(default=(), description="Empty: every one that is up, but loopback.")
    denials_file: Path | None = Field(default=None, description="JSON lines of denied packets, as ulogd writes them.")


T = TypeVar("T", bound=Settings)


def load(kind: type[T], config: Path | None = None, **given: Any) -> T:
    """The settings of one process; `given` are the command line's, None meaning not given.

    Raises:
        SettingsInvalid: with every setting that is wrong, what was expected and where it can be set.
    """
    if config is not None and not config.is_file():
        raise SettingsInvalid(f"There is no file {config}.", hint="Name an existing YAML file with --config.")
    chosen = type(
        kind.__name__,
        (kind,),
        {"model_config": kind.model_config | {"yaml_file": config}, "__module__": kind.__module__},
    )
    try:
        loaded: T = chosen(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsInvalid(
            f"Settings of {kind.__name__}: {wrong}", hint="Set them by FIREBREAK_<NAME>, .env or --config."
        ) from error
    return loaded

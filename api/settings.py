"""Settings of every process: `FIREBREAK_...` variables, `.env`, and a YAML file named by `--config`.

Owns names, units, defaults and their reasons. The command line wins over the environment, the environment over `.env`,
`.env` over the file. No secret has a default.

    settings = load(UpSettings, config=None, api_port=8080)
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from activities.evidence.vault.opening import VaultPlace
from api.vault_settings import VaultSettings
from playbooks.yaml_text import MAX_CHARACTERS, Place, Problem, parse_yaml, shown
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


class ControlSettings(VaultSettings, Settings):
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
    safeguards_file: Path | None = Field(
        default=None,
        description="YAML with what the site protects and limits; default: nothing is protected, 50 targets an hour.",
    )

    @property
    def ledger(self) -> str:
        """The ledger's URL."""
        return self.ledger_url or f"sqlite:///{(self.state_dir / 'ledger.db').resolve()}"

    @property
    def vault(self) -> Path:
        """The vault's directory; with a bucket, where things wait on their way there."""
        return self.vault_dir or self.state_dir / "vault"

    @property
    def vault_place(self) -> VaultPlace:
        """Where evidence is kept."""
        return self.place_of(self.vault)

    @property
    def seal_key(self) -> Path:
        """The key that signs seals; the worker's alone."""
        return self.seal_key_file or self.state_dir / "evidence-signing.key"

    @model_validator(mode="after")
    def _roots_with_authority(self) -> Self:
        if self.tsa_url and self.tsa_roots_file is None:
            raise ValueError("tsa_url needs tsa_roots_file: a timestamp is checked before it is kept")
        return self


class ServeSettings(ControlSettings):
    """`firebreak serve`."""

    bind: str = Field(default="127.0.0.1", description="Address that the API listens on; with `up`, all parts.")


class WorkerSettings(ControlSettings):
    """`firebreak worker`."""

    detect_every_seconds: int = Field(default=0, ge=0, description="How often the detections ask the SIEM; 0: never.")
    intake_url: str = Field(default="http://127.0.0.1:8080", description="The API, where our detections post.")
    detect_source: str = Field(default="firebreak", description="Webhook source that the detections post as.")


class TargetWorkerSettings(Settings):
    """`firebreak worker --role aws|kubernetes`: the credentials of one platform, and a key to hand evidence over."""

    clusters: dict[str, str] = Field(
        default_factory=dict,
        description="Clusters by name, each with its kubeconfig; an empty path: the service account of this pod.",
    )
    aws_endpoint_url: str = Field(default="", description="Another AWS than the real one; empty: the real one.")
    aws_role: str = Field(
        default="arn:aws:iam::{account}:role/firebreak-containment",
        description="Role to assume in each account; {account} stands for its number.",
    )
    aws_external_id: SecretStr | None = Field(default=None, description="What the roles' trust asks for.")
    aws_forensic_kms_key: str = Field(
        default="", description="KMS key that snapshots are copied with; empty: they are not copied."
    )
    aws_forensic_account: str = Field(
        default="", pattern=r"^(\d{12})?$", description="Account that snapshots are shared with; empty: with none."
    )
    api_url: str = Field(default="http://127.0.0.1:8080", description="The API: evidence is handed over there.")
    worker_name: str = Field(default="", description="Name of a platform's worker; empty: worker-<role>.")


class UpSettings(WorkerSettings, ServeSettings, TargetWorkerSettings):
    """`firebreak up`: one node with everything embedded, and a worker for each platform that is named."""

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
    recorder_filter: str = Field(default="", description="libpcap filter of all captures; empty: everything.")
    recorder_namespaces: tuple[str, ...] = Field(
        default=(), description="Network namespaces beside the host's: pid:N, inode:N or a path, such as a container's."
    )
    recorder_buffer_mib: int = Field(default=16, ge=1, le=1024, description="Kernel buffer of each interface.")
    recorder_age_seconds: int = Field(default=900, ge=10, description="Older packets and events are forgotten.")
    capture_max_mib: int = Field(default=1024, ge=1, description="End of a full-length capture by size.")
    file_max_mib: int = Field(default=1024, ge=1, description="Bound for each chosen file; what is over is cut off.")
    denials_file: Path | None = Field(default=None, description="JSON lines of denied packets, as ulogd writes them.")


class ClientSettings(Settings):
    """Where the API is and who asks; the state directory for what is done on the node itself."""

    url: str = Field(default="http://127.0.0.1:8080", description="Address of the API.")
    token: SecretStr | None = Field(default=None, description="Bearer token; made by `firebreak token create`.")


T = TypeVar("T", bound=Settings)
# One file may serve every process of a site: each takes what is its own, and what is nobody's is a slip.
KNOWN = sorted({name for kind in (UpSettings, AgentSettings, ClientSettings) for name in kind.model_fields})


def load(kind: type[T], config: Path | None = None, **given: Any) -> T:
    """The settings of one process; `given` are the command line's, None meaning not given.

    Raises:
        SettingsInvalid: with every setting that is wrong, what was expected and where it can be set.
    """
    if config is not None:
        check_file(config)
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


def check_file(config: Path) -> None:
    """Refuse a file that can't be read as YAML, or holds what no process knows.

    Raises:
        SettingsInvalid: with each line, what was expected and the nearest known setting.
    """
    if not config.is_file():
        raise SettingsInvalid(f"There is no file {config}.", hint="Name an existing YAML file with --config.")
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{config} can't be read: {error}.", hint="Settings are YAML in UTF-8.") from error
    if not any(line.partition("#")[0].strip() for line in text[:MAX_CHARACTERS].splitlines()):
        return
    parsed = parse_yaml(text, str(config))
    wrong = parsed.problems or [
        _unknown(str(config), parsed.keys[path], path)
        for path in parsed.keys
        if len(path) == 1 and path[0] not in KNOWN
    ]
    if wrong:
        lines = "\n".join(problem.line for problem in sorted(wrong, key=lambda problem: problem.place))
        raise SettingsInvalid(lines, hint="Settings are named as in FIREBREAK_<NAME>, in small letters.")


def _unknown(source: str, place: Place, path: tuple[str | int, ...]) -> Problem:
    near = get_close_matches(str(path[-1]).lower().removeprefix("firebreak_"), KNOWN, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else ""
    return Problem(source, place, path, "a setting", f"the unknown key {shown(path[-1])}", hint)

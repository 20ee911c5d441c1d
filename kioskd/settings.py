"""The configuration: TOML files to frozen models, every fault named with its path."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from drivers.catalog import (
    CameraConfig,
    MicrophoneConfig,
    PanelConfig,
    PrinterConfig,
    ScannerConfig,
    SpeakerConfig,
)
from kioskd.errors import SettingsError
from kioskd.picture.encoded import Encoding
from kioskd.picture.ladder import Profile
from kioskd.services import Service

Raw: TypeAlias = dict[str, Any]
Port = Annotated[int, Field(ge=0, le=65535)]
TopicId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KioskSettings(_Section):
    """Who and where this kiosk is; `id` is unique among all kiosks of the broker."""

    id: TopicId
    name: Annotated[str, Field(min_length=1, max_length=100)]
    town: Annotated[str, Field(max_length=100)] = ""
    language: str = "fr"


class BrokerSettings(_Section):
    """The MQTT 5 broker. `tls` uses the system's authorities unless `ca` names a file."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    tls: bool = True
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _pair(self) -> BrokerSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class Organisation(_Section):
    """Whose agents are taken, and for which services: the issuer of their tokens.

    `keys` is a JWKS file and `revoked` names keys of agents that are good no more; both are read
    again when they change. `name` is what residents read.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    issuer: Annotated[str, Field(min_length=1)]
    audience: str = "visioservices"
    keys: Path
    revoked: Path | None = None
    services: Annotated[tuple[TopicId, ...], Field(min_length=1)]


class IdentitySettings(_Section):
    """How the kiosk proves who it is, and which agents it takes (docs/security-identity.md).

    `unsigned` does without all of that: for tests only, and said wherever it can be seen.
    """

    key: Path | None = None
    credential: Path | None = None
    organisations: tuple[Organisation, ...] = ()
    unsigned: bool = False


class IceServer(_Section):
    """A STUN or TURN server, as in WebRTC's RTCIceServer."""

    urls: str
    username: str | None = None
    credential: SecretStr | None = None


class CallSettings(_Section):
    """How calls find their way, and what the kiosk's picture is for.

    Without servers only direct paths are tried. Where residents sign, the picture gets smaller
    on a bad line rather than slower. `encoder`: docs/hardware.md.
    """

    ice_servers: tuple[IceServer, ...] = ()
    picture: Profile = Profile.ORDINARY
    encoder: Encoding = Encoding.AUTO


class ScreenSettings(_Section):
    """The screen page's server, always on loopback; port 0 takes a free one.

    Chromium is started on `entry`, a file that leads to the page; none: `screen.html` beside the
    control socket.
    """

    port: Port = 8480
    entry: Path | None = None


class DocumentSettings(_Section):
    """Where documents live during a visit: `spool` must be a tmpfs."""

    spool: Path = Path("/run/kioskd/spool")
    spool_mb: Annotated[int, Field(ge=32, le=4096)] = 512


class ControlSettings(_Section):
    """Where kioskctl finds the daemon."""

    socket: Path = Path("/run/kioskd/control.sock")


class StateSettings(_Section):
    """Where the daemon keeps what must outlive it, how its starts went and the audit log."""

    folder: Path = Path("/var/lib/kioskd")


class AuditSettings(_Section):
    """The audit log, in the state folder. The CNIL recommends to keep such a log for six months
    to a year, and up to three in justified cases (délibération 2021-122 of 14 October 2021).
    """

    retention_days: Annotated[int, Field(ge=184, le=1096)] = 184
    file_mb: Annotated[int, Field(ge=1, le=64)] = 4


class Settings(_Section):
    """All of kioskd.toml."""

    kiosk: KioskSettings
    broker: BrokerSettings
    services: Annotated[tuple[Service, ...], Field(min_length=1)]
    call: CallSettings = CallSettings()
    screen: ScreenSettings = ScreenSettings()
    documents: DocumentSettings = DocumentSettings()
    control: ControlSettings = ControlSettings()
    state: StateSettings = StateSettings()
    audit: AuditSettings = AuditSettings()
    identity: IdentitySettings = IdentitySettings()
    camera: CameraConfig
    microphone: MicrophoneConfig
    speaker: SpeakerConfig
    scanner: ScannerConfig
    printer: PrinterConfig
    panel: PanelConfig

    @property
    def screen_entry(self) -> Path:
        """The file that leads to the page."""
        return self.screen.entry or self.control.socket.with_name("screen.html")

    @model_validator(mode="after")
    def _verified(self) -> Settings:
        identity = self.identity
        if identity.unsigned:
            return self
        if identity.key is None or identity.credential is None:
            raise ValueError(
                "identity: key and credential are missing: `kioskctl enrol` makes them"
            )
        trusted = {service for one in identity.organisations for service in one.services}
        alone = [one.id for one in self.services if one.id not in trusted]
        if alone:
            raise ValueError(f"identity: no organisation for the services {', '.join(alone)}")
        return self

    def service(self, service_id: str) -> Service | None:
        """Return a service by its id."""
        return next((one for one in self.services if one.id == service_id), None)


def load(path: Path) -> Settings:
    """Read a configuration. Raises SettingsError with one line per fault.

    `services_file`, relative to the configuration, names a TOML file with [[services]].
    """
    raw = read_toml(path)
    name = raw.pop("services_file", None)
    if name is not None:
        services = read_toml(path.parent / str(name))
        raw["services"] = services.pop("services", [])
        if services:
            raise SettingsError([f"{name}: unknown key {key!r}" for key in services])
    return validate(raw)


def read_toml(path: Path) -> Raw:
    """Read a TOML file. Raises SettingsError when it cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: not valid TOML: {error}"]) from error


def validate(raw: Raw) -> Settings:
    """Make settings of plain data. Raises SettingsError with one line per fault."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError([_fault(raw, one) for one in error.errors()]) from error


def _fault(raw: Raw, error: Any) -> str:
    location = [part for part in error["loc"] if not _is_tag(part, error["loc"])]
    path = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1], raw)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        return f"{path}: unknown key{hint}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    return f"{path or 'settings'}: {error['msg'].removeprefix('Value error, ')}"


def _is_tag(part: object, location: tuple[object, ...]) -> bool:
    """Tell whether `part` is the driver's name that pydantic puts into a union's path."""
    return len(location) > 1 and part == location[1] and location[0] in _DEVICES


_DEVICES = ("camera", "microphone", "speaker", "scanner", "printer", "panel")


def _known_keys(location: list[object], raw: Raw) -> list[str]:
    """Return the keys that may stand at `location`, from the schema."""
    schema = Settings.model_json_schema()
    node: Any = schema
    value: Any = raw
    for part in location:
        value = value[part] if value is not None else None
        node = node["items"] if isinstance(part, int) else node["properties"][part]
        node = _resolve(node, schema, value)
    return sorted(node.get("properties", {}))


def _resolve(node: Any, schema: Any, value: Any) -> Any:
    if "discriminator" in node:
        mapping = node["discriminator"]["mapping"]
        node = {"$ref": mapping[value["driver"]]}
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node

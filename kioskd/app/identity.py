"""From the settings to the kiosk's identity and to those whom it trusts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from joserfc.jwk import ECKey

from kioskd.errors import IdentityError, SettingsError
from kioskd.identity.credential import Authority
from kioskd.identity.enrolment import check_credential
from kioskd.identity.keys import load_key, read_keys, read_revoked
from kioskd.settings import IdentitySettings, Organisation, Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """The kiosk's key, what its operator certified of it, and whom it trusts now.

    `expires` is when the credential does, in Unix seconds.
    """

    key: ECKey
    credential: str
    expires: float
    authorities: Callable[[], Sequence[Authority]]


class Organisations:
    """The organisations of the settings; their key files are read again when they change.

    That is how a new key of an organisation, and the end of an agent's, come to a kiosk which
    runs for months. Files that cannot be read any more leave what was known of both.
    """

    def __init__(self, organisations: Sequence[Organisation]) -> None:
        """Read all files. Raises SettingsError."""
        self._known: dict[Organisation, tuple[tuple[int, ...], Authority]] = {}
        self._organisations = organisations
        faults: list[str] = []
        for one in organisations:
            try:
                self._read(one)
            except (OSError, ValueError) as error:
                faults.append(f"identity: {error}")
        if faults:
            raise SettingsError(faults)

    def __call__(self) -> list[Authority]:
        """Return those who are trusted now."""
        for one in self._organisations:
            try:
                self._read(one)
            except (OSError, ValueError) as error:
                log.warning("identity.keys", organisation=one.name, error=str(error)[:200])
        return [self._known[one][1] for one in self._organisations]

    def _read(self, one: Organisation) -> None:
        files = [one.keys] if one.revoked is None else [one.keys, one.revoked]
        written = tuple(file.stat().st_mtime_ns for file in files)
        if one in self._known and self._known[one][0] == written:
            return
        keys = _parsed(one.keys, read_keys)
        revoked = _parsed(one.revoked, read_revoked) if one.revoked else frozenset[str]()
        authority = Authority(one.name, one.issuer, keys, one.audience, one.services, revoked)
        self._known[one] = (written, authority)


def _parsed(file: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def identity_of(settings: Settings) -> Identity | None:
    """Read what proves who is who; None where the settings do without, in so many words.

    Raises SettingsError when a file cannot be used.
    """
    chosen = settings.identity
    if chosen.unsigned:
        log.warning("identity.unsigned", meaning="nobody is verified: not for residents")
        return None
    try:
        key, credential = _own(chosen)
        found = check_credential(credential, settings.kiosk.id, key)
    except (OSError, ValueError, IdentityError) as error:
        raise SettingsError([f"identity: {error}"]) from error
    return Identity(key, credential, found.exp, Organisations(chosen.organisations))


def _own(chosen: IdentitySettings) -> tuple[ECKey, str]:
    if chosen.key is None or chosen.credential is None:
        raise ValueError("key and credential are missing")
    return load_key(_place(chosen.key)), chosen.credential.read_text("ascii").strip()


def _place(path: Path) -> Path:
    """Return where a key is: a bare name is a credential of systemd's (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return path if path.is_absolute() or folder is None else Path(folder) / path

"""The operator and the organisation of a demo: keys that live as long as it does."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any, Final

from kioskd.identity.authority import PUBLIC, Issuer
from kioskd.identity.keys import make_key, save_key, thumbprint

KIOSK_S: Final = 365 * 86400.0
AGENT_S: Final = 12 * 3600.0
"""An agent's token is good for a shift."""


class DemoAuthorities:
    """Certifies one kiosk as its operator, and agents as the one issuer for all services."""

    def __init__(self, folder: Path) -> None:
        """Make the authorities below `folder`."""
        self.operator = Issuer.make("https://operator.invalid")
        self.agents = Issuer.make("https://agents.invalid")
        self.folder = folder

    def certify(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Make the kiosk's key and credential; return the settings' section `identity`."""
        kiosk = raw["kiosk"]
        self.folder.mkdir(parents=True, exist_ok=True)
        key = make_key()
        save_key(self.folder / "kiosk.key", key)
        credential = self.operator.issue(
            kiosk["id"],
            thumbprint(key),
            now=time.time(),
            lifetime_s=KIOSK_S,
            name=kiosk["name"],
            town=kiosk.get("town", ""),
        )
        (self.folder / "kiosk.jwt").write_text(credential, "ascii")
        self.agents.save(self.folder / "agents")
        return {
            "key": str(self.folder / "kiosk.key"),
            "credential": str(self.folder / "kiosk.jwt"),
            "organisations": [self._organisation(one) for one in raw["services"]],
        }

    def page_config(self) -> dict[str, Any]:
        """Return what the agent's page needs in its config.json, as `identity`."""
        operator = {"issuer": self.operator.issuer, "keys": self.operator.public()}
        return {"operators": [operator], "token_url": "token"}

    def issue(self, jkt: str, name: str, services: list[str]) -> str:
        """Return the token of an agent: a demo believes whoever asks."""
        return self.agents.issue(
            secrets.token_urlsafe(9),
            jkt,
            now=time.time(),
            lifetime_s=AGENT_S,
            name=name,
            services=services,
        )

    def _organisation(self, service: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": service["name"],
            "issuer": self.agents.issuer,
            "keys": str(self.folder / "agents" / PUBLIC),
            "services": [service["id"]],
        }


def as_toml(section: dict[str, Any]) -> str:
    """Return what `certify` returned as it stands in a configuration."""
    # TOML's strings and arrays are JSON's; a table in an array is written with `=`.
    lines = [f"{key} = {json.dumps(section[key])}" for key in ("key", "credential")]
    for one in section["organisations"]:
        lines += ["[[identity.organisations]]", *(f"{k} = {json.dumps(v)}" for k, v in one.items())]
    return "\n".join(["[identity]", *lines])

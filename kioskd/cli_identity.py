"""kioskctl enrol and kioskctl authority: who certifies whom (docs/security-identity.md)."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from kioskd.errors import IdentityError, SettingsError
from kioskd.identity.authority import PUBLIC, Issuer
from kioskd.identity.authority import revoke as revoke_key
from kioskd.identity.enrolment import check_credential, enrolment_request, read_request
from kioskd.identity.keys import load_key, make_key, save_key
from kioskd.signalling.access import agent_rules, kiosk_rules
from kioskd.signalling.topics import valid_id

_DAY_S: Final = 86_400.0
_BROKEN: Final = 2

authority_app = typer.Typer(no_args_is_help=True, help="An authority of one's own.")

Folder = Annotated[Path, typer.Argument(help="Where the authority keeps its keys.")]


def _fail(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)
    raise typer.Exit(_BROKEN)


def enrol(
    config: Annotated[Path, typer.Option(help="The daemon's configuration.")] = Path(
        "/etc/kioskd/kioskd.toml"
    ),
    key: Annotated[Path, typer.Option(help="The kiosk's key; made where it is missing.")] = Path(
        "/var/lib/kioskd/identity.key"
    ),
    credential: Annotated[
        Path | None, typer.Option(help="Check what the operator sent back against the key.")
    ] = None,
) -> None:
    """Make the kiosk's key, and print the request that its operator certifies."""
    from kioskd.settings import KioskSettings, read_toml  # see kioskd/cli.py

    try:
        kiosk = KioskSettings.model_validate(read_toml(config).get("kiosk", {}))
        if not key.exists():
            save_key(key, make_key())
        own = load_key(key)
        if credential is None:
            print(enrolment_request(kiosk.id, kiosk.name, kiosk.town, own))
            return
        found = check_credential(credential.read_text("ascii").strip(), kiosk.id, own)
    except (SettingsError, IdentityError, OSError, ValueError) as error:
        _fail(error)
    days = (found.exp - time.time()) / _DAY_S
    print(
        f"{found.sub}: {found.name}, {found.town}; certified by {found.iss}, {days:.0f} days left"
    )


@authority_app.command()
def init(
    folder: Folder, issuer: Annotated[str, typer.Option(help="Its name, a URL: `iss`.")]
) -> None:
    """Make an operator or an organisation; `keys.json` in FOLDER is what others need of it."""
    if (folder / PUBLIC).exists():
        _fail(ValueError(f"{folder} has an authority already"))
    Issuer.make(issuer).save(folder)
    print(folder / PUBLIC)


@authority_app.command()
def rotate(
    folder: Folder,
    retire: Annotated[bool, typer.Option("--retire", help="Drop the old keys instead.")] = False,
) -> None:
    """Add a key that signs from now on; the old ones stay good until --retire."""
    authority = _authority(folder)
    (authority.retired() if retire else authority.rotated()).save(folder)
    print(folder / PUBLIC)


@authority_app.command()
def revoke(
    folder: Folder,
    jkt: Annotated[str, typer.Option(help="RFC 7638 thumbprint of an agent's or a kiosk's key.")],
) -> None:
    """Take back what was certified of a key; `revoked.json` in FOLDER is what others need."""
    try:
        print(revoke_key(folder, jkt))
    except (OSError, ValueError) as error:
        _fail(error)


@authority_app.command()
def certify(
    folder: Folder,
    request: Annotated[Path, typer.Argument(help="What `kioskctl enrol` printed.")],
    days: Annotated[int, typer.Option(min=1, max=3650)] = 730,
) -> None:
    """Print the credential of a kiosk, after showing on stderr who asks."""
    try:
        asked, jkt = read_request(request.read_text("ascii").strip())
    except (IdentityError, OSError, ValueError) as error:
        _fail(error)
    print(f"{asked['kiosk']}: {asked['name']}, {asked['town']}; key {jkt}", file=sys.stderr)
    now, authority = time.time(), _authority(folder)
    more = {"name": asked["name"], "town": asked["town"]}
    print(authority.issue(asked["kiosk"], jkt, now=now, lifetime_s=days * _DAY_S, **more))


@authority_app.command()
def token(
    folder: Folder,
    jkt: Annotated[str, typer.Option(help="RFC 7638 thumbprint of the agent's key.")],
    subject: Annotated[str, typer.Option(help="The agent's pseudonym.")],
    service: Annotated[list[str], typer.Option(help="A service the agent may serve.")],
    name: Annotated[str, typer.Option(help="What residents read.")] = "",
    hours: Annotated[float, typer.Option(min=0.1, max=24)] = 12,
) -> None:
    """Print an agent's token, where no OpenID Connect provider gives them."""
    now, authority = time.time(), _authority(folder)
    lifetime_s = hours * 3600
    claims = {"name": name, "services": service}
    print(authority.issue(subject, jkt, now=now, lifetime_s=lifetime_s, **claims))


@authority_app.command(name="broker-rules")
def broker_rules(
    user: Annotated[
        list[str] | None,
        typer.Option(help="Agents' name at the broker and their services: caf=caf,msa"),
    ] = None,
) -> None:
    """Print Mosquitto's ACL file for the kiosks' listener; with --user, for the agents'."""
    if not user:
        print(kiosk_rules(), end="")
        return
    pairs = [one.partition("=") for one in user]
    users = {name: services.split(",") for name, _, services in pairs}
    named = [*users, *(one for services in users.values() for one in services)]
    wrong = [one for one in named if not valid_id(one)]
    if wrong:
        _fail(ValueError(f"not an id: {', '.join(wrong)}"))
    print(agent_rules(users), end="")


def _authority(folder: Path) -> Issuer:
    try:
        return Issuer.load(folder)
    except (OSError, ValueError, KeyError) as error:
        _fail(error)

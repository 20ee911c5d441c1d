"""Enrolment, rotation of keys, and the pieces of a proof; the attacks are in tests/attacks."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import kioskd
from kioskd.app import examine
from kioskd.app.identity import Organisations, identity_of
from kioskd.cli import app
from kioskd.diagnostics.findings import Trouble
from kioskd.errors import IdentityError, PeerFault, SettingsError
from kioskd.identity import credential, statement
from kioskd.identity.authority import PUBLIC, REVOKED, Issuer
from kioskd.identity.credential import Authority
from kioskd.identity.enrolment import enrolment_request, read_request
from kioskd.identity.keys import (
    load_key,
    make_key,
    read_keys,
    read_revoked,
    save_key,
    thumbprint,
)
from kioskd.settings import Organisation, Settings, read_toml, validate
from kioskd.visit.words import EndReason

CONFIG = Path(__file__).parents[2] / "config"
SDP = "v=0\r\na=fingerprint:SHA-256 aa:bb\r\nm=audio 9\r\na=fingerprint:sha-1 0c:0d\r\n"


def kioskctl(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def settings_of(identity: dict[str, Any]) -> Settings:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"][:1]
    raw["broker"] = {"host": "127.0.0.1"}
    raw["identity"] = identity
    return validate(raw)


def enrolled(folder: Path) -> dict[str, Any]:
    """Do by kioskctl all that an operator, an organisation and a kiosk do."""
    key = folder / "kiosk.key"
    kioskctl("authority", "init", folder / "operator", "--issuer", "https://operator.example")
    kioskctl("authority", "init", folder / "caf", "--issuer", "https://caf.example")
    request = kioskctl("enrol", "--config", CONFIG / "demo.toml", "--key", key)
    (folder / "request").write_text(request)
    made = kioskctl("authority", "certify", folder / "operator", folder / "request")
    (folder / "kiosk.jwt").write_text(made)
    return {
        "key": str(key),
        "credential": str(folder / "kiosk.jwt"),
        "organisations": [
            {
                "name": "CAF",
                "issuer": "https://caf.example",
                "keys": str(folder / "caf" / PUBLIC),
                "services": ["caf"],
            }
        ],
    }


def test_a_kiosk_is_enrolled_and_an_agent_gets_a_token(tmp_path: Path) -> None:
    chosen = enrolled(tmp_path)
    identity = identity_of(settings_of(chosen))
    assert identity is not None
    operator = Issuer.load(tmp_path / "operator")
    trusted = [Authority("operator", operator.issuer, operator.key_set())]
    found, _ = credential.verify(identity.credential, trusted)
    assert (found.sub, found.town) == ("demo-1", "Exempleville")
    assert found.cnf.jkt == thumbprint(identity.key)
    agent = thumbprint(make_key())
    token = kioskctl(
        *("authority", "token", tmp_path / "caf", "--jkt", agent, "--subject", "a7"),
        *("--service", "caf"),
    ).strip()
    claims, caf = credential.verify(token, identity.authorities())
    assert (claims.sub, claims.services, caf.name) == ("a7", ("caf",), "CAF")
    told = kioskctl(
        *("enrol", "--config", CONFIG / "demo.toml", "--key", tmp_path / "kiosk.key"),
        *("--credential", tmp_path / "kiosk.jwt"),
    )
    assert "certified by https://operator.example, 730 days left" in told


def test_a_kiosk_enrols_again_with_the_key_it_has(tmp_path: Path) -> None:
    command = ("enrol", "--config", CONFIG / "demo.toml", "--key", tmp_path / "key")
    first, second = (read_request(kioskctl(*command).strip()) for _ in range(2))
    assert first == second
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key").read_bytes().startswith(b"-----BEGIN")


def test_a_request_that_was_changed_is_no_request() -> None:
    head, _, signature = enrolment_request("k1", "Mairie", "X", make_key()).split(".")
    other = enrolment_request("k2", "Mairie", "X", make_key()).split(".")[1]
    with pytest.raises(IdentityError):
        read_request(f"{head}.{other}.{signature}")


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    save_key(tmp_path / "key", make_key())
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ValueError, match="read by others"):
        load_key(tmp_path / "key")


def test_a_key_may_be_a_credential_of_systemd_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = enrolled(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert identity_of(settings_of(chosen | {"key": "kiosk.key"})) is not None


def test_what_does_not_belong_together_is_named(tmp_path: Path) -> None:
    chosen = enrolled(tmp_path)
    save_key(tmp_path / "other.key", make_key())
    with pytest.raises(SettingsError, match="not of this kiosk and its key"):
        identity_of(settings_of(chosen | {"key": str(tmp_path / "other.key")}))
    (tmp_path / "caf" / PUBLIC).write_text("{}")
    with pytest.raises(SettingsError, match=r"keys\.json"):
        identity_of(settings_of(chosen))


@pytest.mark.parametrize(
    ("days", "ids"),
    [(700, []), (29, [Trouble.EXPIRES_SOON]), (-1, [Trouble.IDENTITY])],
)
def test_doctor_tells_how_long_a_credential_is_good(
    tmp_path: Path, days: int, ids: list[str]
) -> None:
    chosen = enrolled(tmp_path)
    jkt, operator = thumbprint(load_key(Path(chosen["key"]))), Issuer.load(tmp_path / "operator")
    lasting = operator.issue("demo-1", jkt, now=time.time(), lifetime_s=days * 86_400)
    Path(chosen["credential"]).write_text(lasting)
    assert [one.id for one in examine._identity(settings_of(chosen))] == ids


def test_doctor_tells_of_files_that_do_not_belong_together(tmp_path: Path) -> None:
    chosen = enrolled(tmp_path)
    save_key(tmp_path / "other.key", make_key())
    settings = settings_of(chosen | {"key": str(tmp_path / "other.key")})
    (found,) = examine._identity(settings)
    assert found.id == Trouble.IDENTITY


@pytest.mark.parametrize(
    ("identity", "line"),
    [
        ({}, "key and credential are missing"),
        ({"key": "k", "credential": "c"}, "no organisation for the services caf"),
    ],
)
def test_nobody_is_unverified_by_oversight(identity: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError, match=line):
        settings_of(identity)


def test_an_organisation_s_keys_overlap_while_they_are_replaced(tmp_path: Path) -> None:
    issuer, jkt, now = Issuer.make("https://caf.example"), thumbprint(make_key()), time.time()
    issuer.save(tmp_path)
    keys = tmp_path / PUBLIC
    known = Organisations(
        [Organisation(name="CAF", issuer=issuer.issuer, keys=keys, services=("caf",))]
    )

    def good(by: Issuer) -> bool:
        try:
            credential.verify(by.issue("a", jkt, now=now, lifetime_s=60), known())
        except IdentityError as error:
            return error.fault is not PeerFault.UNTRUSTED
        return True

    rotated = issuer.rotated()
    assert good(issuer)
    assert not good(rotated)
    steps = ((rotated, True), (rotated.retired(), False))
    for step, (authority, before) in enumerate(steps, 1):
        authority.save(tmp_path)
        os.utime(keys, (now + step, now + step))  # whatever the grain of the file system's clock
        assert (good(issuer), good(rotated)) == (before, True)
    keys.write_text("broken")
    assert good(rotated)


def test_a_key_that_was_taken_back_is_good_no_more(tmp_path: Path) -> None:
    issuer, now = Issuer.make("https://caf.example"), time.time()
    issuer.save(tmp_path)
    lost, other = thumbprint(make_key()), thumbprint(make_key())
    file = tmp_path / REVOKED
    one = Organisation(
        name="CAF",
        issuer=issuer.issuer,
        keys=tmp_path / PUBLIC,
        revoked=file,
        services=("caf",),
    )
    with pytest.raises(SettingsError, match=REVOKED):
        Organisations([one])  # a list that is named is there
    assert kioskctl("authority", "revoke", tmp_path, "--jkt", other) == f"{file}\n"
    known = Organisations([one])

    def refused(jkt: str) -> bool:
        try:
            credential.verify(issuer.issue("a", jkt, now=now, lifetime_s=60), known())
        except IdentityError as error:
            return error.fault is PeerFault.UNTRUSTED
        return False

    assert (refused(lost), refused(other)) == (False, True)
    kioskctl("authority", "revoke", tmp_path, "--jkt", lost)
    os.utime(file, (now + 1, now + 1))
    assert (refused(lost), refused(other)) == (True, True)
    file.write_text("broken")
    assert refused(lost), "what was known stays good"
    file.unlink()
    assert refused(lost)


def test_nothing_but_a_thumbprint_is_taken_back(tmp_path: Path) -> None:
    Issuer.make("https://caf.example").save(tmp_path)
    for folder, jkt in ((tmp_path, "fc-0001"), (tmp_path / "none", thumbprint(make_key()))):
        result = CliRunner().invoke(app, ["authority", "revoke", str(folder), "--jkt", jkt])
        assert result.exit_code == 2
    assert not (tmp_path / REVOKED).exists()
    for data in (b"", b"[]", b"{}", b'{"revoked": null}', b'{"revoked": ["fc-0001"]}'):
        with pytest.raises(ValueError, match="revoked"):
            read_revoked(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "x"}]}'])
def test_what_is_no_set_of_keys_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        read_keys(data)


def test_fingerprints_are_those_of_session_and_media_in_one_spelling() -> None:
    assert statement.fingerprints(SDP) == ("sha-1 0C:0D", "sha-256 AA:BB")
    assert statement.fingerprints(SDP.replace("\r\n", "\n")) == statement.fingerprints(SDP)


@pytest.mark.parametrize("proof", ["x", "a.b", "a.b.c", "..", "é.é.é", "e30.e30.", "." * 9000])
def test_garbage_is_no_proof(proof: str) -> None:
    for check in (
        lambda: statement.read(statement.ClaimStatement, proof),
        lambda: credential.verify(proof, []),
    ):
        with pytest.raises(IdentityError):
            check()


WORDS = sorted(Path(kioskd.__file__).parent.glob("web/agent/messages/*.json"))


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.stem)
def test_the_agent_s_page_has_words_for_each_refusal(path: Path) -> None:
    words = json.loads(path.read_text("utf-8"))
    kinds = [f"{whose}refused-{one}" for whose in ("", "kiosk-") for one in PeerFault]
    ends = [f"end-{early}{one}" for early in ("", "early-") for one in EndReason]
    assert set(kinds + ends) <= words.keys()
    assert all(words.values())
    assert len(WORDS) == 2
    assert words.keys() == json.loads(WORDS[0].read_text("utf-8")).keys()

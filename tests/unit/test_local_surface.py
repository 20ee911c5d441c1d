"""The kiosk's own machine attacks: other users, other pages, rebound names."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from kioskd.control import client
from kioskd.control.api import Done, Readmission, Status
from kioskd.control.peers import Peer, may_control, peer_of
from kioskd.control.server import ControlServer
from kioskd.control.trial import Options, Outcome, Progress, Result
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial
from kioskd.screen import entry
from kioskd.screen import server as subject
from kioskd.screen.messages import Action
from kioskd.screen.server import ScreenServer

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")


# -- the screen's page --------------------------------------------------------------------


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[tuple[ScreenServer, list[Action]]]:
    (tmp_path / "index.html").write_text("<!doctype html><title>the page</title>")
    (tmp_path / "main.js").write_text("// the script")
    actions: list[Action] = []
    async with ScreenServer(
        web_root=tmp_path, on_action=actions.append, page_picture=lambda _, __: b"\xff\xd8"
    ) as server:
        yield server, actions


PATHS = ("", "ws", "main.js", "pages/scan/1.jpg")


@pytest.mark.parametrize("path", PATHS)
async def test_without_the_token_there_is_nothing(
    page: tuple[ScreenServer, list[Action]], path: str
) -> None:
    server, actions = page
    token = server.url.split("/")[3]
    wrong = [
        "",
        f"{token[:-1]}/",
        f"{token}x/",
        f"{token.swapcase()}/",
        f"x/../{token[:-1]}/",
        "%2e%2e/",
        f"/{token}/",
    ]
    async with ClientSession() as client:
        for prefix in wrong:
            async with client.get(f"{server.origin}{prefix}{path}") as answer:
                assert answer.status == 404, prefix
                assert answer.headers["Content-Security-Policy"] == subject.CSP
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect(f"{server.origin}ws")
    assert actions == []
    assert not server.connected


async def test_a_rebound_name_is_refused_with_the_right_token(
    page: tuple[ScreenServer, list[Action]],
) -> None:
    """DNS rebinding: a page of evil.example whose name now leads to 127.0.0.1."""
    server, actions = page
    rebound = aiohttp.resolver.ThreadedResolver()

    class Evil(aiohttp.abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[aiohttp.abc.ResolveResult]:
            return await rebound.resolve("127.0.0.1", port, family)

        async def close(self) -> None:
            await rebound.close()

    evil = server.url.replace("127.0.0.1", "evil.example")
    async with ClientSession(connector=aiohttp.TCPConnector(resolver=Evil())) as client:
        for path in PATHS:
            async with client.get(evil + path) as answer:
                assert answer.status == 403
        with pytest.raises(WSServerHandshakeError) as refusal:
            await client.ws_connect(f"{evil}ws", origin=f"http://evil.example:{server.port}")
    assert refusal.value.status == 403
    assert actions == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_page_cannot_fetch_with_the_right_token(
    page: tuple[ScreenServer, list[Action]], site: str
) -> None:
    """What Chromium says of an <img> or a script of another page, at another port too."""
    server, _ = page
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    async with ClientSession() as client:
        async with client.get(f"{server.url}pages/scan/1.jpg", headers=headers) as answer:
            assert answer.status == 403
        async with client.get(f"{server.url}pages/scan/1.jpg") as answer:
            assert answer.status == 200
            for name, value in subject.HEADERS.items():
                assert answer.headers[name] == value


def test_the_policy_lets_nothing_in_from_elsewhere_and_nothing_inline() -> None:
    rules = dict(one.strip().split(" ", 1) for one in subject.CSP.split(";"))
    assert rules.pop("default-src") == "'none'"
    for name, value in rules.items():
        assert set(value.split()) <= {"'self'", "'none'", "blob:"}, name
    assert rules["script-src"] == rules["connect-src"] == rules["style-src"] == "'self'"


async def test_it_listens_on_loopback_only(page: tuple[ScreenServer, list[Action]]) -> None:
    server, _ = page
    for address in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
        if address == "127.0.0.1":
            continue
        with pytest.raises(OSError):  # noqa: PT011  (refused or unreachable)
            await asyncio.open_connection(address, server.port)


def test_the_entry_keeps_its_token_and_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "kiosk.html"
    assert entry.read(file) is None
    token = entry.new_token()
    entry.write(file, f"http://127.0.0.1:8480/{token}/")
    assert entry.read(file) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.write_text("rubbish")
    assert entry.read(file) is None
    entry.write(tmp_path / "no" / "folder", "http://127.0.0.1/x/")  # harms nobody


# -- the control socket --------------------------------------------------------------------


def status() -> Status:
    raise AssertionError("a stranger got through")


async def result(device: DeviceKind) -> Readmission:
    return Readmission(device=device, passed=True, message="done")


async def attempt(trial: Trial, _: Options, tell: Callable[[Progress], None]) -> Outcome:
    tell(Progress(done=0.5))
    return Outcome(trial=trial, result=Result.PASSED, score=100, parts=[], took_s=1)


async def done(*_: object, **__: object) -> Done:
    return Done(done=True, message="done")


ASK = """
import os, socket, sys
os.setgroups([int(one) for one in sys.argv[2].split(",") if one])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[4]))
with socket.socket(socket.AF_UNIX) as one:
    one.connect(sys.argv[1])
    one.sendall(b"POST /test/panel HTTP/1.1\\r\\nHost: k\\r\\nConnection: close\\r\\n\\r\\n")
    print(one.makefile("rb").readline().split()[1].decode())
"""


async def ask_as(path: Path, *, groups: str, gid: int, uid: int) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", ASK, str(path), groups, str(gid), str(uid)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody may walk through."""
    for one in (tmp_path, *tmp_path.parents[:3]):  # one more in a run side by side
        one.chmod(0o755)
    return tmp_path


@pytest.fixture
async def control(open_folder: Path) -> AsyncIterator[Path]:
    path = open_folder / "control.sock"
    async with ControlServer(
        path, status=status, test=attempt, readmit=result, restart=done, maintenance=done
    ):
        yield path


@needs_root
async def test_the_kernel_keeps_strangers_from_the_socket(control: Path) -> None:
    mode = (await asyncio.to_thread(control.stat)).st_mode
    assert stat.S_IMODE(mode) == 0o660
    code, said = await ask_as(control, groups="", gid=NOBODY, uid=NOBODY)
    assert code != 0
    assert "PermissionError" in said


@needs_root
async def test_a_stranger_is_refused_where_the_file_lets_everybody_in(control: Path) -> None:
    await asyncio.to_thread(control.chmod, 0o666)
    assert await ask_as(control, groups="", gid=NOBODY, uid=NOBODY) == (0, "403\n")
    assert await ask_as(control, groups="4,24,27", gid=NOBODY, uid=NOBODY) == (0, "403\n")
    own = str(os.getegid())
    assert await ask_as(control, groups=own, gid=NOBODY, uid=NOBODY) == (0, "200\n")
    assert await ask_as(control, groups="", gid=os.getegid(), uid=NOBODY) == (0, "200\n")
    assert await ask_as(control, groups="", gid=NOBODY, uid=0) == (0, "200\n")


async def test_kioskctl_says_who_may(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = ControlServer(
        path,
        status=status,
        test=attempt,
        readmit=result,
        restart=done,
        maintenance=done,
        allowed=lambda _: False,
    )
    async with server:
        with pytest.raises(ControlError, match="members of kioskd's group"):
            await client.ask_status(path)


async def test_a_test_tells_its_progress_and_its_outcome(control: Path) -> None:
    told: list[Progress] = []
    outcome = await client.run_test(control, Trial.CALL, Options(), told.append)
    assert told == [Progress(done=0.5)]
    assert isinstance(outcome, Outcome)
    assert outcome.trial is Trial.CALL


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/test/toaster", "{}", 404),
        ("/test/camera", '{"expect": "../etc"}', 400),
        ("/test/camera", "rubbish", 400),
        ("/test/panel", '{"buttons_s": 1e9}', 400),
        ("/test/camera", "", 200),
    ],
)
async def test_what_is_no_test_is_refused(control: Path, path: str, body: str, status: int) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(control))) as session,
        session.post(f"http://kioskd{path}", data=body) as answer,
    ):
        assert answer.status == status


async def test_a_test_ends_when_nobody_waits_for_it(open_folder: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(_: Trial, __: Options, tell: Callable[[Progress], None]) -> Outcome:
        tell(Progress(done=0.1))
        begun.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    path = open_folder / "control.sock"
    async with ControlServer(
        path, status=status, test=endless, readmit=result, restart=done, maintenance=done
    ):
        work = asyncio.create_task(client.run_test(path, Trial.CAMERA, Options(), lambda _: None))
        await begun.wait()
        work.cancel()
        async with asyncio.timeout(20):
            await ended.wait()


def test_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        peer = peer_of(one)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert {os.getegid(), *os.getgroups()} <= peer.groups
    assert may_control(peer)
    assert not may_control(Peer(1, NOBODY, frozenset({NOBODY})))

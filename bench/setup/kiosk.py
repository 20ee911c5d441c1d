"""The kiosk that is measured: a demo's daemon, a process of its own, that says when it did what.

    python -m bench.setup.kiosk FOLDER MQTT_PORT WEBSOCKET_PORT

Says its pages' addresses, then each stage of each call and its time, all as JSON by the line.
SIGINT ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import numpy as np
from aiortc import RTCPeerConnection

from kioskd.app.calls import Calls
from kioskd.app.demo import CONFIG
from kioskd.app.line import Line
from kioskd.app.run import WEB_ROOT, Daemon
from kioskd.app.talk import Talk
from kioskd.call.leg import Leg
from kioskd.logging import configure
from kioskd.settings import read_toml, validate
from kioskd.signalling.messages import Answer, Claim, Offer
from kioskd.simulation.agent_pages import AgentPages
from kioskd.simulation.authorities import DemoAuthorities

LOUD: Final = 300
"""Of 32767: what counts as sound. The agent's tone has 12000."""


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _note(stage: str) -> None:
    _say({"stage": stage, "at": time.time()})


def _before(owner: type, name: str, see: Callable[..., None]) -> None:
    """Have `see` called with the arguments of each call of a method, before it."""
    plain = getattr(owner, name)

    def seen(*args: Any, **kwargs: Any) -> Any:
        see(*args, **kwargs)
        return plain(*args, **kwargs)

    setattr(owner, name, seen)


def _watch() -> None:
    """Note the stages where the daemon passes through them."""
    heard: WeakSet[Any] = WeakSet()
    seen: WeakSet[Any] = WeakSet()

    def told(_: Line, __: str, ___: str, message: Any) -> None:
        if isinstance(message, Offer):
            _note("offer sent")

    def signalled(_: Calls, __: str, ___: str, message: Any) -> None:
        if isinstance(message, Claim):
            _note("claim heard")
        elif isinstance(message, Answer):
            _note("answer heard")

    def played(_: Talk, one: Any, pcm: bytes) -> None:
        if one not in heard and np.abs(np.frombuffer(pcm, "<i2")).max(initial=0) > LOUD:
            heard.add(one)
            _note("sound")

    def pictured(_: Talk, one: Any, *__: Any) -> None:
        if one not in seen:
            seen.add(one)
            _note("picture came")

    _before(Line, "tell", told)
    _before(Calls, "on_signal", signalled)
    _before(Talk, "_play", played)
    _before(Talk, "_picture", pictured)
    _before(Talk, "_state", lambda _, __, state: _note(f"leg {state.value}"))
    connection = Leg._connection

    def watched(leg: Leg) -> RTCPeerConnection:
        pc = connection(leg)
        pc.on("iceconnectionstatechange", lambda: _note(f"ice {pc.iceConnectionState}"))
        pc.on("connectionstatechange", lambda: _note(f"dtls {pc.connectionState}"))
        return pc

    Leg._connection = watched  # type: ignore[method-assign,assignment]


async def _run(folder: Path, mqtt: int, websocket: int) -> None:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    for service in raw["services"]:
        service["always_open"] = True
    raw["broker"] = {"host": "127.0.0.1", "port": mqtt, "tls": False}
    raw["screen"] = {"port": 0}
    raw["documents"] = {"spool": str(folder / "spool")}
    raw["control"] = {"socket": str(folder / "control.sock")}
    raw["state"] = {"folder": str(folder / "state")}
    authorities = DemoAuthorities(folder / "identity")
    raw["identity"] = authorities.certify(raw)
    settings = validate(raw)
    config = {
        "broker": f"ws://127.0.0.1:{websocket}/mqtt",
        "username": None,
        "password": None,
        "services": [
            {"id": one.id, "name": one.name, "colour": one.colour} for one in settings.services
        ],
        "ice_servers": [],
        "identity": authorities.page_config(),
    }
    async with AgentPages(WEB_ROOT / "agent", config, issue=authorities.issue) as agent:
        daemon = Daemon(
            settings, on_ready=lambda screen: _say({"screen": screen, "agent": agent.url})
        )
        await daemon.run()


def main() -> None:
    """Run a kiosk: FOLDER MQTT_PORT WEBSOCKET_PORT."""
    configure()
    _watch()
    asyncio.run(_run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))


if __name__ == "__main__":
    main()

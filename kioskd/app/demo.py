"""`kioskd demo`: a whole kiosk on one machine, with a broker and the agent's page."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kioskd.app.run import WEB_ROOT, Daemon
from kioskd.runtime.shared import SHARED_MEMORY
from kioskd.settings import Raw, Settings, read_toml, validate
from kioskd.simulation.agent_pages import AgentPages
from kioskd.simulation.authorities import DemoAuthorities
from kioskd.simulation.broker import EmbeddedBroker
from kioskd.simulation.cups import PrivateCups
from kioskd.simulation.pipewire import PrivatePipewire
from kioskd.simulation.sane import write_sane_config

CONFIG: Final = Path(__file__).parents[2] / "config"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is real in a demo: a device's address or name each, or all that can be."""

    camera: str | None = None
    microphone: str | None = None
    speaker: str | None = None
    scanner: str | None = None
    printer: str | None = None
    real: bool = False
    folder: Path | None = None


async def run_demo(options: DemoOptions) -> None:
    """Run broker, agent's page and kiosk until SIGINT or SIGTERM, then end all of it."""
    async with contextlib.AsyncExitStack() as stack:
        ram = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        made = tempfile.TemporaryDirectory(prefix="kioskd-demo-", dir=ram)
        folder = options.folder or Path(stack.enter_context(made))
        folder.mkdir(parents=True, exist_ok=True)
        # Mosquitto and the print system run as users of their own and must get through.
        folder.chmod(0o755)
        broker_folder = folder / "broker"
        broker_folder.mkdir()
        broker = await stack.enter_async_context(EmbeddedBroker(broker_folder))
        raw = await _configuration(options, folder, broker.port, stack)
        authorities = DemoAuthorities(folder / "identity")
        raw["identity"] = authorities.certify(raw)
        settings = validate(raw)
        config = _agent_config(settings, broker) | {"identity": authorities.page_config()}
        agent = await stack.enter_async_context(
            AgentPages(WEB_ROOT / "agent", config, issue=authorities.issue)
        )
        daemon = Daemon(settings, on_ready=lambda screen: _announce(screen, agent.url, settings))
        await daemon.run()


def _announce(screen_url: str, agent_url: str, settings: Settings) -> None:
    print(
        f"\n  The resident's screen:  {screen_url}\n"
        f"  The agent's page:       {agent_url}\n"
        f"  kioskctl:               KIOSKD_SOCKET={settings.control.socket} "
        "kioskctl status\n\n"
        "  Open both in Chromium. Ctrl-C ends everything.\n",
        flush=True,
    )


def _agent_config(settings: Settings, broker: EmbeddedBroker) -> dict[str, Any]:
    services = [{"id": one.id, "name": one.name, "colour": one.colour} for one in settings.services]
    return {
        "broker": f"ws://127.0.0.1:{broker.websocket_port}/mqtt",
        "username": None,
        "password": None,
        "services": services,
        "ice_servers": [],
    }


async def _configuration(
    options: DemoOptions, folder: Path, port: int, stack: contextlib.AsyncExitStack
) -> Raw:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    for service in raw["services"]:
        service["always_open"] = True  # a demo is shown in the evening too
    raw["broker"] = {"host": "127.0.0.1", "port": port, "tls": False}
    raw["screen"] = {"port": 0}
    raw["documents"] = {"spool": str(folder / "spool")}
    raw["control"] = {"socket": str(folder / "control.sock")}
    raw["state"] = {"folder": str(folder / "state")}
    raw["microphone"]["echo_db"] = -20  # it hears the loudspeaker, as in a room
    if options.real:
        await _use_real_stacks(raw, folder, stack)
    for kind, value in {
        "camera": {"driver": "v4l2", "device": options.camera},
        "microphone": {"driver": "pipewire", "source": options.microphone},
        "speaker": {"driver": "pipewire", "sink": options.speaker},
        "scanner": {"driver": "sane", "device": options.scanner},
        "printer": {"driver": "cups", "queue": options.printer},
    }.items():
        if getattr(options, kind) is not None:
            raw[kind] = value
    return raw


async def _use_real_stacks(raw: Raw, folder: Path, stack: contextlib.AsyncExitStack) -> None:
    """Start what can be real without hardware, and point the drivers at it."""
    for name in ("sane", "cups", "pipewire"):
        (folder / name).mkdir()
    sane = write_sane_config(folder / "sane")
    raw["scanner"] = {
        "driver": "sane",
        "device": "test:0",
        "config_dir": str(sane),
        "options": {"test_picture": "Color pattern"},
    }
    cups = await stack.enter_async_context(PrivateCups(folder / "cups"))
    raw["printer"] = {"driver": "cups", "queue": cups.queue, "server": cups.server}
    sound = await stack.enter_async_context(PrivatePipewire(folder / "pipewire"))
    os.environ.update(sound.env)
    raw["microphone"] = {
        "driver": "pipewire",
        "source": sound.source,
        "echo_canceller": False,  # its speaker and microphone share no room
    }
    raw["speaker"] = {"driver": "pipewire", "sink": sound.sink}

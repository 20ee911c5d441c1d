"""A kiosk's configuration for tests that run the daemon alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "config"


def unused_port() -> int:
    """Return a port on which nobody listens: the broker is dead."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A kiosk without a network and with simulated devices."""
    return write_config(tmp_path)


def write_config(folder: Path) -> Path:
    """Write the configuration of such a kiosk, all of which is in `folder`."""
    text = (CONFIG / "demo.toml").read_text()
    text = text.replace('services_file = "services.toml"', "")
    file = folder / "kioskd.toml"
    file.write_text(
        f'services_file = "{CONFIG / "services.toml"}"\n{text}\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {unused_port()}\ntls = false\n'
        f"[screen]\nport = 0\n"
        f'[documents]\nspool = "{folder / "spool"}"\n'
        f'[control]\nsocket = "{folder / "control.sock"}"\n'
        f'[state]\nfolder = "{folder / "state"}"\n'
    )
    return file

"""What a broker should let kiosks and agents do, as Mosquitto's ACL files (mosquitto.conf(5)).

Two listeners with `per_listener_settings true`: kiosks come with a client certificate whose
common name is their id, agents with a name and a password of their organisation's. A proof is
what protects a call; these rules keep people out of what is not their business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kioskd.signalling import topics

_ME: Final = "%u"
_MY_CLIENT: Final = "%c"


def kiosk_rules() -> str:
    """Return the rules of the kiosks' listener: each writes below its own id only."""
    return _lines(
        f"pattern write {topics.status(_ME)}",
        f"pattern write {topics.waiting('+', _ME)}",
        f"pattern write {topics.to_agent('+', _ME, '+')}",
        f"pattern read {topics.waiting('+', '+')}",  # to tell the resident the place in the line
        f"pattern read {topics.claim('+', _ME)}",
        f"pattern read {topics.to_kiosk('+', _ME, '+')}",
    )


def agent_rules(users: Mapping[str, Sequence[str]]) -> str:
    """Return the rules of the agents' listener; `users` are names and the services of each.

    An agent's MQTT client id is its id in the topics, so that one cannot read another's calls.
    """
    lines = []
    for user, services in users.items():
        lines += ["", f"user {user}", f"topic read {topics.status('+')}"]
        for service in services:
            lines.append(f"topic read {topics.waiting(service, '+')}")
            lines.append(f"topic write {topics.claim(service, '+')}")
    return _lines(
        f"pattern write {topics.agent('+', _MY_CLIENT)}",
        f"pattern write {topics.to_kiosk('+', '+', _MY_CLIENT)}",
        f"pattern read {topics.to_agent('+', '+', _MY_CLIENT)}",
        *lines,
    )


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"

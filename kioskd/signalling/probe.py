"""One connection to the broker, made to see whether it takes us."""

from __future__ import annotations

import aiomqtt

from kioskd.errors import SignallingError
from kioskd.signalling.link import BrokerAddress, reap


class BrokerRefuses(SignallingError):
    """The broker answers, and does not take us: a CONNACK with a reason (MQTT 5, 3.2.2.2)."""


async def probe(address: BrokerAddress, *, timeout: float) -> None:
    """Connect and disconnect. Raises BrokerRefuses, or SignallingError when it says nothing.

    A daemon that is connected under the same client id is thrown out: do not use beside one.
    """
    client = aiomqtt.Client(
        address.host,
        address.port,
        identifier=address.client_id,
        username=address.username,
        password=address.password,
        tls_context=address.tls,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        timeout=timeout,
    )
    try:
        async with client:
            pass
    except aiomqtt.MqttCodeError as error:
        raise BrokerRefuses(str(error)) from error
    except (aiomqtt.MqttError, OSError) as error:
        raise SignallingError(str(error)) from error
    finally:
        reap(client)

"""From the settings to the broker's address, without anything that a call needs."""

from __future__ import annotations

import ssl

from kioskd.errors import SettingsError
from kioskd.settings import BrokerSettings
from kioskd.signalling.link import BrokerAddress


def broker_address(kiosk: str, broker: BrokerSettings) -> BrokerAddress:
    """Make the broker's address. Raises SettingsError when a TLS file cannot be used."""
    context: ssl.SSLContext | None = None
    if broker.tls:
        try:
            context = ssl.create_default_context(cafile=broker.ca)
            if broker.certificate is not None:
                context.load_cert_chain(broker.certificate, broker.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([f"broker: a TLS file cannot be used: {error}"]) from error
    return BrokerAddress(
        host=broker.host,
        port=broker.port,
        client_id=kiosk,
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        tls=context,
    )

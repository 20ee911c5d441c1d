"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Started in the background of a shell, the tests would hand an ignored SIGINT on to all that
# they start, and Ctrl-C would end none of it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of the code.
settings.register_profile("kioskd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kioskd")

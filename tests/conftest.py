"""What all tests share."""

from __future__ import annotations

import signal

# Started in the background of a shell, the tests would hand an ignored SIGINT on to all that
# they start, and Ctrl-C would end none of it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

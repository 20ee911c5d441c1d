"""What an IPP printer itself says: CUPS repeats it late, and keeps what is over.

Used in the CUPS worker. pycups encodes and decodes; the request goes out here because a
connection of libcups has no time limit and does not use the path of the printer's URI.
"""

from __future__ import annotations

import http.client
import io
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from kioskd.errors import DeviceError, Reason

ANSWER_S: Final = 2.0
IPP_PORT: Final = 631
SUCCESS_BELOW: Final = 0x0100  # status-code, RFC 8011, B.1
_WANTED: Final = ["printer-state", "printer-state-reasons", "queued-job-count"]


@dataclass(frozen=True, slots=True)
class PrinterAnswer:
    """`state` is printer-state (RFC 8011, 5.4.11), `jobs` how many it has not ended."""

    state: int
    reasons: tuple[str, ...]
    jobs: int


def is_ipp(uri: str) -> bool:
    """True where the printer can be asked."""
    return urlsplit(uri).scheme in ("ipp", "ipps")


def ask_printer(uri: str) -> PrinterAnswer:
    """Ask the printer at `uri`. Raises DeviceError OFFLINE, or PROTOCOL."""
    import cups

    address = urlsplit(uri)
    assert address.hostname is not None
    port = address.port or IPP_PORT
    connection: http.client.HTTPConnection
    if address.scheme == "ipps":
        # Printers sign their own certificates, and nothing secret is sent or believed here.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            address.hostname, port, timeout=ANSWER_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.hostname, port, timeout=ANSWER_S)
    try:
        connection.request(
            "POST", address.path or "/", _request(cups, uri), {"Content-Type": "application/ipp"}
        )
        body = connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise DeviceError(Reason.OFFLINE, f"the printer does not answer: {error}") from error
    finally:
        connection.close()
    return _answer(cups, body)


def _request(cups: Any, uri: str) -> bytes:
    request = cups.IPPRequest(cups.IPP_OP_GET_PRINTER_ATTRIBUTES)
    for tag, name, value in (
        (cups.IPP_TAG_CHARSET, "attributes-charset", "utf-8"),
        (cups.IPP_TAG_LANGUAGE, "attributes-natural-language", "en"),
        (cups.IPP_TAG_URI, "printer-uri", uri),
        (cups.IPP_TAG_KEYWORD, "requested-attributes", _WANTED),
    ):
        request.add(cups.IPPAttribute(cups.IPP_TAG_OPERATION, tag, name, value))
    body = io.BytesIO()
    request.writeIO(body.write)
    return body.getvalue()


def _answer(cups: Any, body: bytes) -> PrinterAnswer:
    answer = cups.IPPRequest()
    state = answer.readIO(io.BytesIO(body).read)
    if state != cups.IPP_STATE_DATA or answer.statuscode >= SUCCESS_BELOW:
        raise DeviceError(Reason.PROTOCOL, f"the printer answers {answer.statuscode:#06x}")
    found = {one.name: one.values for one in answer.attributes}
    return PrinterAnswer(
        state=found["printer-state"][0],
        reasons=tuple(found.get("printer-state-reasons", ())),
        jobs=found.get("queued-job-count", [0])[0],
    )

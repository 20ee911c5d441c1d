"""IPP requests with a time limit (RFC 8010, 8011), to a printer or to cupsd.

libcups has no time limit, and pycups hands out the first job only of an answer with several.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from kioskd.errors import DeviceError, Reason

ANSWER_S: Final = 2.0
IPP_PORT: Final = 631
SUCCESS_BELOW: Final = 0x0100  # status-code, RFC 8011, B.1
NOT_FOUND: Final = 0x0406
NOT_POSSIBLE: Final = 0x0404
VERSION: Final = 0x0200

# Operations and tags: RFC 8011, 5.4.15; RFC 8010, 3.5; CUPS's own from 0x4000 on.
CANCEL_JOB: Final = 0x0008
GET_JOBS: Final = 0x000A
GET_PRINTER_ATTRIBUTES: Final = 0x000B
CREATE_LOCAL_PRINTER: Final = 0x4028
OPERATION_GROUP: Final = 0x01
JOB_GROUP: Final = 0x02
END: Final = 0x03
PRINTER_GROUP: Final = 0x04
_FIRST_VALUE: Final = 0x10
_INTEGERS: Final = frozenset({0x21, 0x23})  # integer, enum
_BOOLEAN: Final = 0x22
_INTEGER: Final = 0x21
_NAME: Final = 0x42
_KEYWORD: Final = 0x44
_URI: Final = 0x45
_CHARSET: Final = 0x47
_LANGUAGE: Final = 0x48
_TAGS: Final = {
    "attributes-charset": _CHARSET,
    "attributes-natural-language": _LANGUAGE,
    "printer-uri": _URI,
    "device-uri": _URI,
    "requesting-user-name": _NAME,
    "printer-name": _NAME,
}

Value: TypeAlias = int | bool | str
Attributes: TypeAlias = dict[str, list[Value]]
Wish: TypeAlias = dict[str, Value | list[str]]


@dataclass(slots=True)
class Answer:
    """`groups` are in the answer's order, each with its tag; only `Value`s are kept."""

    status: int
    groups: list[tuple[int, Attributes]] = field(default_factory=list)

    def all(self, tag: int) -> list[Attributes]:
        """Return the groups with this tag."""
        return [attributes for group, attributes in self.groups if group == tag]


def request(uri: str, operation: int, wish: Wish, printer: Wish | None = None) -> bytes:
    """Encode a request about the printer at `uri`; `printer` is its printer group."""
    head: Wish = {
        "attributes-charset": "utf-8",
        "attributes-natural-language": "en",
        "printer-uri": uri,
    }
    body = struct.pack(">HHIB", VERSION, operation, 1, OPERATION_GROUP)
    body += b"".join(_encoded(name, value) for name, value in (head | wish).items())
    if printer is not None:
        body += bytes([PRINTER_GROUP])
        body += b"".join(_encoded(name, value) for name, value in printer.items())
    return body + bytes([END])


def _encoded(name: str, value: Value | list[str]) -> bytes:
    tag = _TAGS.get(name, _INTEGER if isinstance(value, int) else _KEYWORD)
    body = b""
    for one in value if isinstance(value, list) else [value]:
        data = struct.pack(">i", one) if isinstance(one, int) else one.encode()
        label = b"" if body else name.encode()
        body += struct.pack(">BH", tag, len(label)) + label + struct.pack(">H", len(data)) + data
    return body


def decoded(body: bytes) -> Answer:
    """Decode an answer. Raises DeviceError PROTOCOL."""
    try:
        _, status, _ = struct.unpack_from(">HHI", body)
        answer, at, name = Answer(status), 8, ""
        while (tag := body[at]) != END:
            at += 1
            if tag < _FIRST_VALUE:
                answer.groups.append((tag, {}))
                continue
            label, at = _chunk(body, at)
            data, at = _chunk(body, at)
            name = label.decode() or name
            values = answer.groups[-1][1].setdefault(name, [])
            if tag in _INTEGERS:
                values.append(struct.unpack(">i", data)[0])
            elif tag == _BOOLEAN:
                values.append(data != b"\0")
            elif tag >= _NAME - 1:
                values.append(data.decode(errors="replace"))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DeviceError(Reason.PROTOCOL, f"not an IPP answer: {error}") from error
    return answer


def _chunk(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">H", body, at)
    if at + 2 + size > len(body):
        raise IndexError("cut short")
    return body[at + 2 : at + 2 + size], at + 2 + size


def ask_uri(uri: str, body: bytes) -> Answer:
    """Send a request to a printer's URI. Raises DeviceError OFFLINE, or PROTOCOL."""
    address = urlsplit(uri)
    host, port = address.hostname or "", address.port or IPP_PORT
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    if address.scheme == "ipps":
        # Printers sign their own certificates, and nothing secret is sent or believed here.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=context)
    return _exchange(connection, address.path or "/", body, "the printer")


def ask_server(server: str, port: int, body: bytes) -> Answer:
    """Send a request to cupsd at a host or the path of a socket, as libcups names them."""
    connection = http.client.HTTPConnection(server.partition(":")[0], port, timeout=ANSWER_S)
    if server.startswith("/"):
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_S)
        connection.sock = _connected(server)
    return _exchange(connection, "/", body, "CUPS")


def _connected(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(ANSWER_S)
    try:
        link.connect(path)
    except OSError as error:
        link.close()
        raise DeviceError(Reason.OFFLINE, f"CUPS cannot be reached: {error}") from error
    return link


def _exchange(connection: http.client.HTTPConnection, path: str, body: bytes, who: str) -> Answer:
    with contextlib.closing(connection):
        try:
            connection.request("POST", path, body, {"Content-Type": "application/ipp"})
            return decoded(connection.getresponse().read())
        except (OSError, http.client.HTTPException) as error:
            raise DeviceError(Reason.OFFLINE, f"{who} does not answer: {error}") from error

"""Messages of others: what is kept of them, and what a log says of one that is none of ours."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, ValidationError

FORGETFUL: Final = ConfigDict(cache_strings="keys")
"""For a TypeAdapter: pydantic otherwise keeps thousands of the last short texts that it read,
names and a resident's words among them, for as long as the process lives.
"""


def what_is_wrong(error: ValueError) -> str:
    """Name the fields and what is wrong with them; never what stood in them.

    pydantic's own text quotes the message: a resident's words, a document's name, an SDP.
    """
    if not isinstance(error, ValidationError):
        return type(error).__name__
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = (f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['type']}" for one in found)
    return ", ".join(told)[:200]

"""What may be said in a log of a message that is none of ours."""

from __future__ import annotations

from pydantic import ValidationError


def what_is_wrong(error: ValueError) -> str:
    """Name the fields and what is wrong with them; never what stood in them.

    pydantic's own text quotes the message: a resident's words, a document's name, an SDP.
    """
    if not isinstance(error, ValidationError):
        return type(error).__name__
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = (f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['type']}" for one in found)
    return ", ".join(told)[:200]

"""The catalogue in words, for docs/audit.md: made from the models, so that it is true."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from kioskd.audit.events import CATALOGUE

MARK: Final = "<!-- made by `kioskctl audit catalogue`: do not edit below -->"


def catalogue() -> str:
    """Return Markdown: one table row for each type of event, with its fields."""
    rows = [_row(one) for one in CATALOGUE]
    head = ["| type | when | fields |", "|---|---|---|"]
    return "\n".join([MARK, "", *head, *rows, ""])


def _row(model: Any) -> str:
    schema = model.model_json_schema()
    said = re.sub(r"\s+", " ", inspect.getdoc(model) or "").strip()
    fields = [
        f"`{name}`: {_kind(field, schema)}"
        for name, field in schema["properties"].items()
        if name != "type"
    ]
    return f"| `{schema['properties']['type']['const']}` | {said} | {'; '.join(fields) or '-'} |"


def _kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(one, schema) for one in field["anyOf"])
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(field["enum"])
    if "const" in field:
        return str(field["const"]) or "nothing"
    if field["type"] == "string":
        return _PATTERNS[field["pattern"]]
    return {"integer": "number", "boolean": "yes or no"}[field["type"]]


_PATTERNS: Final = {
    r"^([0-9a-f]{16})?$": "pseudonym",
    r"^[0-9a-f]{64}$": "SHA-256",
    r"^[A-Za-z0-9_.-]{1,64}$": "word",
}

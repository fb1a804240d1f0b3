"""`Listing`: a list of a participant's aggregates, which the host makes from what it stores."""

from __future__ import annotations

from typing import Any

from . import _json


class Listing:
    """A list at one path, without parameters. `item` is the name of the read whose reply each aggregate is shown as."""

    def __init__(self, name: str, path: str, item: str) -> None:
        self.name, self.path, self.item = name, path, item
        self.summary_text = ""
        self.filters: list[tuple[str, str]] = []

    @staticmethod
    def of(name: str, path: str, item: str) -> Listing:
        """A listing of this name at this path."""
        return Listing(name, path, item)

    def summary(self, text: str) -> Listing:
        """One sentence for the API document. Every listing needs one."""
        self.summary_text = text
        return self

    def filter(self, parameter: str, pointer: str) -> Listing:
        """Lets clients narrow the list down by the query parameter to the aggregates in whose state the value at this JSON
        pointer is the one they give: a string, a boolean or an integer. Name first what narrows most."""
        self.filters.append((parameter, pointer))
        return self


def schema_at(schema: Any, pointer: str) -> str:
    """The schema of the value at this pointer, as text; `false`, which a host reports, if there is none."""
    root = schema
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        schema = _present(root, schema)
        members = schema.get("properties", {})
        if name in members:
            schema = members[name]
        elif name.isdigit() and int(name) < len(schema.get("prefixItems", ())):
            schema = schema["prefixItems"][int(name)]
        elif name.isdigit() and "items" in schema:
            schema = schema["items"]
        else:
            return "false"
    return _json.write(schema)


def _present(root: Any, schema: Any) -> Any:
    """The schema without the alternative null, and the one that it refers to."""
    others = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    schema = others[0] if len(others) == 1 else schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return root.get("$defs", {}).get(name, schema)

"""The shape of a type: how its values are read from JSON, how they are written, and the JSON schema of both.

Made once for each type, of dataclasses and type hints. What is written is checked against the type, so it always fits the
schema that the host has.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import types
import typing
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, ClassVar

from . import _json
from ._json import Written, number_text, quoted, token, whole
from .hints import Doc, Hint, Range

Schema = dict[str, Any]

_MISSING = dataclasses.MISSING

#: A whole number as it is written: with no 0 before it.
_WHOLE = re.compile("0|-?[1-9][0-9]{0,999}")


class Misfit(ValueError):
    """A value does not have the expected shape."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = ""

    def below(self, name: object) -> Misfit:
        self.pointer = f"/{token(name)}{self.pointer}"
        return self

    def __str__(self) -> str:
        return f"{self.reason}, in {self.pointer}" if self.pointer else self.reason


class UnknownType(TypeError):
    """A type that has no JSON shape."""


def told(value: Any) -> str:
    """A value in an error: what it is, and its beginning."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, (str, bool, int, Decimal)):
        text = _json.write(value)
        return text if len(text) <= 60 else f"{text[:60]}…"
    return f"a {type(value).__name__}"


class Shape:
    """A shape. `read` takes a value of JSON, and gives one of the type; `write` the reverse, as text."""

    def read(self, value: Any) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> str:
        raise NotImplementedError

    def schema(self, writes: bool) -> Schema:
        raise NotImplementedError


class _Text(Shape):
    def read(self, value: Any) -> Any:
        if type(value) is str:
            return value
        raise Misfit(f"expected a string, got {told(value)}")

    def write(self, value: Any) -> str:
        if isinstance(value, str):
            return quoted(value)
        raise Misfit(f"expected a str, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "string"}


class _Bool(Shape):
    def read(self, value: Any) -> Any:
        if type(value) is bool:
            return value
        raise Misfit(f"expected true or false, got {told(value)}")

    def write(self, value: Any) -> str:
        if type(value) is bool:
            return "true" if value else "false"
        raise Misfit(f"expected a bool, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "boolean"}


class _Null(Shape):
    def read(self, value: Any) -> Any:
        if value is None:
            return None
        raise Misfit(f"expected null, got {told(value)}")

    def write(self, value: Any) -> str:
        if value is None:
            return "null"
        raise Misfit(f"expected None, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "null"}


class _Integer(Shape):
    def read(self, value: Any) -> Any:
        if type(value) is int:
            return value
        if isinstance(value, Decimal):
            number = whole(value)
            if number is not None:
                return number
        raise Misfit(f"expected an integer, got {told(value)}")

    def write(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return int.__repr__(value)
        raise Misfit(f"expected an int, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "integer"}


class _Number(Shape):
    """A Decimal. One that was read is written with the digits that it had."""

    def read(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return value
        if type(value) is int:
            return Written(str(value))
        raise Misfit(f"expected a number, got {told(value)}")

    def write(self, value: Any) -> str:
        if isinstance(value, Decimal) and value.is_finite():
            return number_text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return int.__repr__(value)
        if isinstance(value, float):
            raise Misfit(f"expected a Decimal, got the float {value!r}, which loses digits")
        raise Misfit(f"expected a Decimal, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "number"}


class _Anything(Shape):
    """Any JSON value: dicts, lists, strings, ints, Decimals."""

    def read(self, value: Any) -> Any:
        return value

    def write(self, value: Any) -> str:
        try:
            return _json.write(value)
        except ValueError as error:
            raise Misfit(str(error)) from None

    def schema(self, writes: bool) -> Schema:
        return {}


class _Custom(Shape):
    """A class with a shape of its own: `Money`, `TimeSpan`, and whatever has `__json_read__`, `__json_write__`."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls

    def read(self, value: Any) -> Any:
        try:
            return self.cls.__json_read__(value)
        except Misfit:
            raise
        except ValueError as error:
            raise Misfit(str(error)) from None

    def write(self, value: Any) -> str:
        if isinstance(value, self.cls):
            return _json.write(value.__json_write__())
        raise Misfit(f"expected a {self.cls.__name__}, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return dict(self.cls.__json_schema__())


class _Uuid(Shape):
    def read(self, value: Any) -> Any:
        try:
            return uuid.UUID(value)
        except (ValueError, AttributeError, TypeError):
            raise Misfit(f"expected a UUID, got {told(value)}") from None

    def write(self, value: Any) -> str:
        if isinstance(value, uuid.UUID):
            return quoted(str(value))
        raise Misfit(f"expected a UUID, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        return {"type": "string", "format": "uuid"}


class _Choice(Shape):
    """One of some strings or integers: a `Literal` or an `Enum`."""

    def __init__(self, members: dict[Any, Any], description: str | None) -> None:
        self.members = members
        self.texts = {id(member): _json.write(value) for value, member in members.items()}
        self.values = {member: value for value, member in members.items()}
        self.description = description

    def read(self, value: Any) -> Any:
        member = self.members.get(value) if isinstance(value, (str, int)) else None
        if member is None or type(value) is bool:
            names = ", ".join(map(_json.write, self.members))
            raise Misfit(f"expected one of {names}, got {told(value)}")
        return member

    def write(self, value: Any) -> str:
        try:
            return _json.write(self.values[value])
        except (KeyError, TypeError):
            names = ", ".join(map(_json.write, self.members))
            raise Misfit(f"expected one of {names}, got {told(value)}") from None

    def schema(self, writes: bool) -> Schema:
        values = list(self.members)
        kinds = {"string" if isinstance(value, str) else "integer" for value in values}
        schema: Schema = {"type": kinds.pop()} if len(kinds) == 1 else {}
        if self.description:
            schema = {"description": self.description, **schema}
        return {**schema, "enum": values}


class _Items(Shape):
    """A list, a tuple of any length, or a set. A set is written in the order of its texts."""

    def __init__(self, item: Shape, make: Callable[[Any], Any]) -> None:
        self.item, self.make = item, make
        self.is_set = make in (set, frozenset)

    def read(self, value: Any) -> Any:
        if type(value) is not list:
            raise Misfit(f"expected an array, got {told(value)}")
        read, items = self.item.read, []
        for index, one in enumerate(value):
            try:
                items.append(read(one))
            except Misfit as misfit:
                raise misfit.below(index) from None
        return self.make(items)

    def write(self, value: Any) -> str:
        if not isinstance(value, (set, frozenset) if self.is_set else (list, tuple)):
            raise Misfit(f"expected a {self.make.__name__}, got {told(value)}")
        write, items = self.item.write, []
        for index, one in enumerate(value):
            try:
                items.append(write(one))
            except Misfit as misfit:
                raise misfit.below(index) from None
        if self.is_set:
            items.sort()
        return "[" + ",".join(items) + "]"

    def schema(self, writes: bool) -> Schema:
        schema = {"type": "array", "items": self.item.schema(writes)}
        return {**schema, "uniqueItems": True} if self.is_set and writes else schema


class _Places(Shape):
    """A tuple of these shapes."""

    def __init__(self, items: list[Shape]) -> None:
        self.items = items

    def read(self, value: Any) -> Any:
        if type(value) is not list or len(value) != len(self.items):
            raise Misfit(f"expected an array of {len(self.items)}, got {told(value)}")
        return tuple(self._each(value, "read"))

    def write(self, value: Any) -> str:
        if not isinstance(value, tuple) or len(value) != len(self.items):
            raise Misfit(f"expected a tuple of {len(self.items)}, got {told(value)}")
        return "[" + ",".join(self._each(value, "write")) + "]"

    def _each(self, values: Any, does: str) -> list[Any]:
        items = []
        for index, (shape, one) in enumerate(zip(self.items, values, strict=True)):
            try:
                items.append(getattr(shape, does)(one))
            except Misfit as misfit:
                raise misfit.below(index) from None
        return items

    def schema(self, writes: bool) -> Schema:
        items, number = [shape.schema(writes) for shape in self.items], len(self.items)
        return {"type": "array", "prefixItems": items, "minItems": number, "maxItems": number}


class _Map(Shape):
    """A dict whose names are strings, written in its own order."""

    def __init__(self, value: Shape) -> None:
        self.value = value

    def read(self, value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit(f"expected an object, got {told(value)}")
        members = {}
        for name, one in value.items():
            try:
                members[self._key(name)] = self.value.read(one)
            except Misfit as misfit:
                raise misfit.below(name) from None
        return members

    def write(self, value: Any) -> str:
        if not isinstance(value, dict):
            raise Misfit(f"expected a dict, got {told(value)}")
        members = []
        for key, one in self._in_order(value):
            name = self._name(key)
            try:
                members.append(f"{quoted(name)}:{self.value.write(one)}")
            except Misfit as misfit:
                raise misfit.below(name) from None
        return "{" + ",".join(members) + "}"

    def schema(self, writes: bool) -> Schema:
        return {"type": "object", "additionalProperties": self.value.schema(writes)}

    def _in_order(self, value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
        return value.items()

    def _key(self, name: str) -> Any:
        return name

    def _name(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        raise Misfit(f"expected a str as the name of a member, got {told(key)}")


class _MapByNumber(_Map):
    """A dict whose names are ints, written in the order of the numbers."""

    def __init__(self, key: Shape, value: Shape) -> None:
        super().__init__(value)
        self.key = key

    def schema(self, writes: bool) -> Schema:
        pattern = r"^\d+$" if self.key.schema(writes).get("minimum") == 0 else r"^-?\d+$"
        return {"type": "object", "patternProperties": {pattern: self.value.schema(writes)}, "additionalProperties": False}

    def _in_order(self, value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
        try:
            return sorted(value.items(), key=lambda one: one[0])
        except TypeError:
            return value.items()

    def _key(self, name: str) -> Any:
        if not _WHOLE.fullmatch(name):
            raise Misfit(f"expected an integer as the name of a member, got {told(name)}")
        return self.key.read(int(name))

    def _name(self, key: Any) -> str:
        return self.key.write(key)


class _OneOf(Shape):
    """The first of some shapes that fits."""

    def __init__(self, shapes: list[Shape]) -> None:
        self.shapes = shapes
        self.others = [shape for shape in shapes if not isinstance(shape, _Null)]
        self.nullable = len(self.others) < len(shapes)

    def read(self, value: Any) -> Any:
        return self._first(value, "read")

    def write(self, value: Any) -> str:
        return str(self._first(value, "write"))

    def _first(self, value: Any, does: str) -> Any:
        if value is None and self.nullable:
            return None if does == "read" else "null"
        misfit: Misfit | None = None
        for shape in self.others:
            try:
                return getattr(shape, does)(value)
            except Misfit as other:
                misfit = other if misfit is None or len(other.pointer) > len(misfit.pointer) else misfit
        raise misfit or Misfit(f"expected null, got {told(value)}")

    def schema(self, writes: bool) -> Schema:
        schemas = [shape.schema(writes) for shape in self.others]
        if len(schemas) == 1 and self.nullable:
            only = schemas[0]
            if isinstance(only.get("type"), str) and only["type"] != "object" and "enum" not in only:
                return {**only, "type": [only["type"], "null"]}
            if not only:
                return only
        return {"anyOf": [*schemas, {"type": "null"}] if self.nullable else schemas}


class _Hinted(Shape):
    """A shape with what `Annotated` says of it."""

    def __init__(self, shape: Shape, hints: list[Hint]) -> None:
        self.shape, self.hints = shape, hints
        self.checks = [hint for hint in hints if hint.checked]
        self.read_checks = [hint for hint in hints if isinstance(hint, Range) and hint.always]

    def read(self, value: Any) -> Any:
        read = self.shape.read(value)
        for hint in self.read_checks:
            reason = hint.misfit(read)
            if reason:
                raise Misfit(reason)
        return read

    def write(self, value: Any) -> str:
        text = self.shape.write(value)
        if value is not None:
            for hint in self.checks:
                reason = hint.misfit(value)
                if reason:
                    raise Misfit(reason)
        return text

    def schema(self, writes: bool) -> Schema:
        schema = self.shape.schema(writes)
        for hint in self.hints:
            schema = {**schema, **hint.members()}
        return schema


@dataclasses.dataclass
class _Member:
    attribute: str
    name: str
    shape: Shape
    default: Any
    factory: Callable[[], Any] | None
    # The beginning of the member's text.
    head: str

    @property
    def required(self) -> bool:
        return self.default is _MISSING and self.factory is None

    @property
    def may_be_left_out(self) -> bool:
        return self.default is None


class _Object(Shape):
    """A dataclass. Members that it does not know are read past."""

    #: Dataclasses whose schema is being made, to find those that contain themselves.
    making: ClassVar[list[_Object]] = []
    recursive: ClassVar[dict[str, Schema]] = {}

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.all: list[_Member] = []

    def complete(self) -> None:
        hints = typing.get_type_hints(self.cls, include_extras=True)
        names = getattr(self.cls, "__saga_names__", None)
        for field in dataclasses.fields(self.cls):
            if not field.init:
                continue
            name = names(field.name) if names else field.name
            factory = None if field.default_factory is _MISSING else field.default_factory
            try:
                shape = shape_of(hints[field.name])
            except UnknownType as error:
                raise UnknownType(f"{self.cls.__name__}.{field.name}: {error}") from None
            self.all.append(_Member(field.name, name, shape, field.default, factory, f"{quoted(name)}:"))

    def read(self, value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit(f"expected an object, got {told(value)}")
        arguments = {}
        for member in self.all:
            if member.name in value:
                try:
                    arguments[member.attribute] = member.shape.read(value[member.name])
                except Misfit as misfit:
                    raise misfit.below(member.name) from None
            elif member.required:
                raise Misfit(f"the member {quoted(member.name)} is missing")
        try:
            return self.cls(**arguments)
        except (ValueError, ArithmeticError) as error:
            # `__post_init__` refuses the values.
            raise Misfit(str(error)) from None

    def write(self, value: Any) -> str:
        if type(value) is not self.cls:
            raise Misfit(f"expected a {self.cls.__name__}, got {told(value)}")
        members = []
        for member in self.all:
            one = getattr(value, member.attribute)
            if one is None and member.may_be_left_out:
                continue
            try:
                members.append(member.head + member.shape.write(one))
            except Misfit as misfit:
                raise misfit.below(member.name) from None
        return "{" + ",".join(members) + "}"

    def schema(self, writes: bool) -> Schema:
        name = self.cls.__name__
        if self in _Object.making:
            _Object.recursive.setdefault(name, {})
            return {"$ref": f"#/$defs/{name}"}
        _Object.making.append(self)
        try:
            schema = self._schema(writes)
        finally:
            _Object.making.pop()
        if name in _Object.recursive:
            _Object.recursive[name] = schema
            return {"$ref": f"#/$defs/{name}"}
        return schema

    def _schema(self, writes: bool) -> Schema:
        schema: Schema = {"title": self.cls.__name__}
        description = doc_of(self.cls)
        if description:
            schema["description"] = description
        schema["type"] = "object"
        properties = {}
        for member in self.all:
            one = member.shape.schema(writes)
            if not writes and not member.required and member.factory is None:
                try:
                    one = {**one, "default": _json.read(member.shape.write(member.default))}
                except Misfit as misfit:
                    raise UnknownType(f"{self.cls.__name__}.{member.attribute}: its default does not fit: {misfit}") from None
            properties[member.name] = one
        schema["properties"] = properties
        required = [one.name for one in self.all if (not one.may_be_left_out if writes else one.required)]
        if required:
            schema["required"] = required
        example = self.cls.__dict__.get("__saga_example__", _MISSING)
        if example is not _MISSING:
            schema["examples"] = [example]
        return schema


_NULL = _Null()

_SIMPLE: dict[Any, Shape] = {
    str: _Text(),
    bool: _Bool(),
    int: _Integer(),
    Decimal: _Number(),
    None: _NULL,
    type(None): _NULL,
    Any: _Anything(),
    object: _Anything(),
    uuid.UUID: _Uuid(),
    dict: _Map(_Anything()),
    list: _Items(_Anything(), list),
}

_FLOAT = "float loses digits: use Decimal, int, or saga_sdk.Money"

_known: dict[Any, Shape] = {}


def shape_of(hint: Any) -> Shape:
    """The shape of a type."""
    try:
        known = _known.get(hint)
    except TypeError:
        # Not hashable: an `Annotated` with a list in it.
        return _made(hint)
    if known is None:
        known = _made(hint)
        _known[hint] = known
    return known


def _made(hint: Any) -> Shape:
    simple = _SIMPLE.get(hint) if isinstance(hint, (type, type(None), type(Any))) or hint is Any else None
    if simple is not None:
        return simple
    if hint is float:
        raise UnknownType(_FLOAT)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        hints = [one for one in arguments[1:] if isinstance(one, Hint)]
        shape = shape_of(arguments[0])
        return _Hinted(shape, hints) if hints else shape
    if origin is typing.Literal:
        return _Choice({value: value for value in arguments}, None)
    if origin in (typing.Union, types.UnionType):
        return _OneOf([shape_of(one) for one in arguments])
    if origin in (list, set, frozenset):
        return _Items(shape_of(arguments[0]), origin)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return _Items(shape_of(arguments[0]), tuple)
        return _Places([shape_of(one) for one in arguments])
    if origin is dict:
        if arguments[0] is str:
            return _Map(shape_of(arguments[1]))
        key = arguments[0] if arguments[0] is not bool else None
        if key is int or (typing.get_origin(key) is typing.Annotated and typing.get_args(key)[0] is int):
            return _MapByNumber(shape_of(key), shape_of(arguments[1]))
        raise UnknownType(f"the names of members are strings or integers: use dict[str, …] or dict[int, …], not {_name(hint)}")
    if hasattr(hint, "__supertype__"):
        return shape_of(hint.__supertype__)
    if hasattr(hint, "__value__"):
        return shape_of(hint.__value__)
    if isinstance(hint, type):
        if hasattr(hint, "__json_read__"):
            return _Custom(hint)
        if issubclass(hint, enum.Enum):
            return _Choice({member.value: member for member in hint}, doc_of(hint))
        if dataclasses.is_dataclass(hint):
            shape = _Object(hint)
            _known[hint] = shape
            try:
                shape.complete()
            except BaseException:
                del _known[hint]
                raise
            return shape
    raise UnknownType(
        f"{_name(hint)} has no JSON shape: use a dataclass, str, int, Decimal, bool, None, an Enum, Literal, list, dict, "
        "tuple, set, or a union of them"
    )


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def doc_of(cls: type) -> str | None:
    """The text of a class for people, without line breaks within a paragraph; none if it has none of its own."""
    text = cls.__dict__.get("__doc__")
    if not text or text.startswith(f"{cls.__name__}("):
        return None
    text = inspect.cleandoc(text)
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text).strip() or None


def schema_text(shape: Shape, writes: bool) -> str:
    """The JSON schema of what is written, or of what is read, as text."""
    _Object.recursive.clear()
    schema = shape.schema(writes)
    if _Object.recursive:
        schema = {**schema, "$defs": dict(_Object.recursive)}
        _Object.recursive.clear()
    return _json.write(schema)


__all__ = ["Doc", "Misfit", "Shape", "UnknownType", "schema_text", "shape_of"]

"""Shapes of types: what is read, what is written, and the schema of both."""

import pytest

from saga_sdk import UInt64, UnknownType, loads
from saga_sdk._shape import Misfit, schema_text, shape_of


def test_a_dict_by_number_is_written_in_the_order_of_the_numbers():
    shape = shape_of(dict[UInt64, str])
    assert shape.write({10: "b", 9: "a"}) == '{"9":"a","10":"b"}'
    assert shape.read(loads('{"10":"b","9":"a"}')) == {10: "b", 9: "a"}
    schema = r'{"type":"object","patternProperties":{"^\\d+$":{"type":"string"}},"additionalProperties":false}'
    assert schema_text(shape, writes=True) == schema
    assert r'"^-?\\d+$"' in schema_text(shape_of(dict[int, str]), writes=True)


@pytest.mark.parametrize("name", ["007", "-1", "-0", "1.0", "18446744073709551616", "a", "", "1" * 5_000])
def test_a_name_that_is_no_number_of_its_type_is_a_misfit(name):
    with pytest.raises(Misfit, match=f"in /{name}$"):
        shape_of(dict[UInt64, str]).read({name: "a"})


@pytest.mark.parametrize("key", ["7", True, -1, 2**64])
def test_a_key_that_is_no_number_of_its_type_is_not_written(key):
    with pytest.raises(Misfit):
        shape_of(dict[UInt64, str]).write({key: "a", 1: "b"})


def test_names_of_other_types_are_refused():
    with pytest.raises(UnknownType, match="names of members are strings or integers"):
        shape_of(dict[bool, str])

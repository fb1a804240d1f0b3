"""What becomes of rules that do what rules should not. The host's tests say the same of the component."""

import json
import subprocess
import sys

import pytest
from traps import Asked, Note, contract

from saga_sdk import ImpureError, Money, MoneyError, Refusal, RefusalType, dumps, loads
from saga_sdk._fault import report
from saga_sdk.rules import Fault
from saga_sdk.testing import Scenario, given_nothing
from saga_sdk.turn import Message


def asked(name, what="", amount="0") -> Scenario:
    return given_nothing(contract).key("n1").when_command(name, Asked(what=what, amount=loads(amount)))


def reply(name, what="", amount="0", id="test-1", time=0):
    given = given_nothing(contract).key("n1").id(id).time(time)
    return json.loads(given.when_command(name, Asked(what=what, amount=loads(amount))).outcome.reply.body)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('{"customerId":9007199254740993,"amount":10.10}', '{"customerId":9007199254740993,"amount":10.10,"what":""}'),
        ('{"customerId":9223372036854775807}', '{"customerId":9223372036854775807,"amount":0,"what":""}'),
        ('{"customerId":1.0,"amount":3e2}', '{"customerId":1,"amount":3e2,"what":""}'),
        (
            '{"amount":123456789012345678901234567890.00100,"customerId":-9.223372036854775808E+18}',
            '{"customerId":-9223372036854775808,"amount":123456789012345678901234567890.00100,"what":""}',
        ),
        (
            '{"amount":1e99999999999999999999,"customerId":-0}',
            '{"customerId":0,"amount":1e99999999999999999999,"what":""}',
        ),
    ],
)
def test_a_number_keeps_its_digits(body, kept):
    then = given_nothing(contract).key("n1").when_command_json("keep", body)
    outcome = then.outcome
    assert outcome.reply.body == kept
    assert outcome.state == f'{{"asked":{kept},"turns":0}}'
    assert outcome.events[0].body == kept


@pytest.mark.parametrize("number", ["9223372036854775808", "1.5", '"1"', "true", "null", "1e99999999999999999999"])
def test_what_is_no_int64_is_malformed(number):
    then = given_nothing(contract).key("n1").when_command_json("keep", f'{{"customerId":{number}}}')
    then.malformed("in /customerId")


@pytest.mark.parametrize("text", ["NaN", "[1,]", '{"a":1,"a":2}', "01", '"\x01"', "[" * 100_000])
def test_what_is_not_json_is_malformed(text):
    given_nothing(contract).key("n1").when_command_json("keep", text).malformed("the body is not of the expected shape")


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("key", "KeyError: 'totals'"),
        ("zero", "ZeroDivisionError: division by zero"),
        ("value", "ValueError: the price is no number"),
        ("own", "OutOfStock: nothing left of C7"),
        ("type", "TypeError: unsupported operand"),
        ("attribute", "AttributeError: 'NoneType' object has no attribute 'price'"),
        ("assert", "AssertionError: an amount above zero"),
        ("exit", "SystemExit: the rules give up"),
        ("chained", "OutOfStock: no such seat"),
    ],
)
def test_an_exception_has_a_message_a_file_and_a_line(what, error):
    with pytest.raises(BaseException) as raised:
        asked("fail", what)
    told = report(raised.value).splitlines()
    assert told[0].startswith(error)
    assert told[1].startswith("at traps/traps.py:")
    assert ", in fail: " in told[1]
    if what == "chained":
        assert told[-1] == "while this was raised: KeyError: 'C7'"


def test_a_long_message_is_cut():
    with pytest.raises(ValueError) as raised:
        asked("fail", "long")
    assert len(report(raised.value)) < 1_000


def test_the_three_ways_to_say_no():
    asked("fail", "malformed").malformed("it makes no sense")
    asked("fail", "later").retried_later("the price list is missing")
    assert asked("fail", "refusal").outcome.reply.refusal.detail == "it is taken"
    with pytest.raises(AssertionError, match="does not declare the refusal 'other': add .refuses"):
        asked("fail", "undeclared")


def test_an_event_can_not_be_refused():
    from traps import ASKED_ELSEWHERE

    with pytest.raises(Fault, match="only commands can be refused .* publish an event"):
        given_nothing(contract).when_event(ASKED_ELSEWHERE, Asked(what="refusal"))


@pytest.mark.parametrize("what", ["statement", "module"])
def test_a_late_import_names_the_module_and_says_what_to_do(what):
    sys.modules.pop("colorsys", None)
    with pytest.raises((AssertionError, ImportError), match="'colorsys' can't be imported in a turn: import it at the top"):
        asked("late", what)


def test_recursion_of_2000_levels():
    assert reply("deep", amount="2000") == 2000
    with pytest.raises(RecursionError) as raised:
        asked("deep", amount="6000")
    assert report(raised.value).endswith("and more places")


@pytest.mark.parametrize("what", ["random", "shuffle", "uuid4", "urandom", "secrets"])
def test_chance_follows_from_the_message(what):
    first = reply("chance", what, id="m-1")
    assert reply("chance", what, id="m-2") != first
    assert reply("chance", what, id="m-1") == first


def test_a_uuid_of_the_machine_is_refused():
    with pytest.raises(ImpureError, match="use uuid4"):
        asked("chance", "uuid1")


def test_the_clock_is_the_turns():
    assert reply("clock", "time", time=1_796_209_079_544) == "1796209079544"
    assert reply("clock", "time_ns", time=1_796_209_079_544) == "1796209079544000000"
    assert reply("clock", "turn", time=1_796_209_079_544) == "2026-12-02T10:57:59.544000+00:00"


@pytest.mark.parametrize("what", ["now", "today"])
def test_a_clock_that_can_not_be_set_in_a_test_is_refused_by_line(what):
    with pytest.raises(ImpureError, match=r"reads the machine's clock, .* at traps/traps.py:\d+: use turn.time"):
        asked("clock", what)


@pytest.mark.parametrize(("what", "error"), [("monotonic", "use turn.time"), ("sleep", "set a timer")])
def test_other_clocks_are_refused(what, error):
    with pytest.raises(ImpureError, match=error):
        asked("clock", what)


def test_the_machines_values_are_back_after_a_turn():
    import os
    import random
    import time

    before = (time.time, os.urandom, random.getstate(), sys.getprofile(), sys.getrecursionlimit())
    asked("clock", "time")
    with pytest.raises(ZeroDivisionError):
        asked("fail", "zero")
    assert before == (time.time, os.urandom, random.getstate(), sys.getprofile(), sys.getrecursionlimit())


ONE_GLOBAL = """
import sys
sys.path[:0] = {path!r}
from traps import Asked, contract
from saga_sdk.testing import given_nothing
try:
    given_nothing(contract).when_command("remember", Asked(what={what!r}))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("rebound", "'total' of traps"),
        ("list", "'seen' of traps"),
        ("class", "'kept' of Tally of traps"),
        ("iterator", "'numbers' of traps"),
        ("new", "'fresh' of traps"),
        ("default", "default argument or a variable around _with_default"),
    ],
)
def test_a_global_that_changes_is_found_by_name(what, name):
    # In a process of its own: the change stays in this one.
    told = subprocess.run(
        [sys.executable, "-c", ONE_GLOBAL.format(path=sys.path, what=what)], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("ImpureError the rule changed "), told.stderr
    assert name in told.stdout
    assert "keep the value in the state" in told.stdout


def test_the_order_of_a_set_is_found():
    assert len(reply("order-of-set", "sorted")) == 20
    with pytest.raises(AssertionError, match=r"the order of a set \(write sorted\(…\)\)"):
        asked("order-of-set")


def test_a_naive_json_loads_can_not_lose_digits_unseen():
    assert reply("naive", "[9007199254740993]") == [9007199254740993]
    with pytest.raises(Fault, match="10.1 is a float, which loses digits: use Decimal or int"):
        asked("naive", "10.10")
    assert dumps(loads('{"a":10.10}')) == '{"a":10.10}'


def test_a_rule_has_no_files():
    with pytest.raises(AssertionError, match="a rule has no files"):
        asked("read-file", __file__)


def test_a_state_that_can_not_be_read_is_a_fault():
    from saga_sdk.rules import Rules

    with pytest.raises(Fault, match="raise state_version and add a migration"):
        Rules(contract).handle('{"asked":1}', Message("command", "keep", "n1", "{}"), "{}")


def test_a_state_of_a_wrong_type_is_a_fault():
    assert isinstance(Note(Asked()), Note)
    with pytest.raises(AssertionError, match="the given state does not fit: expected a Note"):
        from saga_sdk.testing import given

        given(contract, {"asked": 1})


def test_an_error_that_is_foreseen_is_a_refusal_and_another_one_is_not():
    no_money = RefusalType.invalid("no-money", "The amount is no money.")
    with pytest.raises(Refusal, match="the amount is finer than a cent") as refused, no_money.on(MoneyError, at="/amount"):
        Money("0.001")
    assert (refused.value.type, refused.value.pointer) == (no_money, "/amount")
    with pytest.raises(KeyError), no_money.on(MoneyError):
        {}["amount"]

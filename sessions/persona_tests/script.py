"""The YAML in which staff write the tests of a persona. What is read is written back the same.

tests:
  - name: Price of a ticket
    turns:
      - say: What does a ticket cost?
        expect:
          - contains: 12.50 euros
          - cites: Visits
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any

import yaml
from django.utils.translation import gettext as _

from avatars.models.persona_tests import MAX_TEST_NAME

MAX_BYTES = 100_000
MAX_TESTS = 50
MAX_TURNS = 20
MAX_EXPECTATIONS = 10
MAX_SAID_CHARACTERS = 1000
MAX_VALUE_CHARACTERS = 500


class Kind(StrEnum):
    """What an expectation compares."""

    CONTAINS = "contains"
    LACKS = "does_not_contain"
    MATCHES = "matches"
    CITES = "cites"
    CALLS = "calls"
    REFUSED = "refused"
    JUDGED = "judged"


@dataclass(frozen=True)
class Expectation:
    """One expectation of an answer. `arguments` are those that a called tool must get, among others."""

    kind: Kind
    value: str | bool
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        return {str(self.kind): self.value} | ({"with": dict(self.arguments)} if self.arguments else {})


@dataclass(frozen=True)
class Turn:
    """What the user says, and what is expected of the answer."""

    say: str
    expect: tuple[Expectation, ...] = ()

    def as_data(self) -> dict[str, Any]:
        expected = [each.as_data() for each in self.expect]
        return {"say": self.say} | ({"expect": expected} if expected else {})


@dataclass(frozen=True)
class Test:
    """A scripted conversation."""

    __test__ = False  # for pytest

    name: str
    turns: tuple[Turn, ...]

    def as_data(self) -> dict[str, Any]:
        return {"name": self.name, "turns": [turn.as_data() for turn in self.turns]}


class ScriptError(Exception):
    """The tests cannot be read. The message names the place and is for people."""


class _Refused(yaml.MarkedYAMLError):
    """YAML that is valid, but not here. `problem` is translated."""


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which multiply, and without a key twice, of which one would be lost."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            reader: Any = self  # the stubs of PyYAML have no types here
            raise _Refused(None, None, _("aliases are not allowed"), reader.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _value in node.value:
            if not isinstance(key.value, str):
                raise _Refused(None, None, _("a name must be a text"), key.start_mark)
            if key.value in seen:
                raise _Refused(None, None, _("“%(key)s” is there twice") % {"key": key.value}, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def read(text: str) -> list[Test]:
    """Read tests from YAML. Raises ScriptError."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ScriptError(_("The tests are too long: at most %(count)d bytes.") % {"count": MAX_BYTES})
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        if not isinstance(exc, _Refused):
            raise ScriptError(_("Line %(line)d is not valid YAML.") % {"line": line}) from exc
        raise ScriptError(_("Line %(line)d: %(problem)s.") % {"line": line, "problem": exc.problem}) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ScriptError(_("This is not YAML.")) from exc
    return [] if found is None else of_data(found)


def of_data(data: Any) -> list[Test]:
    """Check what was read, from YAML or JSON. Raises ScriptError, which names the place."""
    return tests_of(_keys(data, "", required=("tests",))["tests"])


def write(tests: Iterable[Test]) -> str:
    """Write tests as YAML."""
    data = {"tests": [test.as_data() for test in tests]}
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)


def tests_of(data: Any) -> list[Test]:
    """Check a list of tests. Raises ScriptError, which names the place."""
    tests = [_test(each, f"tests[{at}]") for at, each in enumerate(_list(data, "tests", MAX_TESTS), 1)]
    names: set[str] = set()
    for test in tests:
        if test.name in names:
            raise ScriptError(_("Two tests have the name “%(name)s”.") % {"name": test.name})
        names.add(test.name)
    return tests


def _test(data: Any, at: str) -> Test:
    row = _keys(data, at, required=("name", "turns"))
    turns = _list(row["turns"], f"{at}.turns", MAX_TURNS)
    if not turns:
        raise _wrong(f"{at}.turns", _("has no turn"))
    name = _text(row["name"], f"{at}.name", MAX_TEST_NAME)
    return Test(name, tuple(_turn(turn, f"{at}.turns[{number}]") for number, turn in enumerate(turns, 1)))


def _turn(data: Any, at: str) -> Turn:
    row = _keys(data, at, required=("say",), optional=("expect",))
    expected = _list(row.get("expect", []), f"{at}.expect", MAX_EXPECTATIONS)
    expect = (_expectation(each, f"{at}.expect[{number}]") for number, each in enumerate(expected, 1))
    return Turn(_text(row["say"], f"{at}.say", MAX_SAID_CHARACTERS), tuple(expect))


def _expectation(data: Any, at: str) -> Expectation:
    kinds = tuple(str(kind) for kind in Kind)
    row = _keys(data, at, optional=(*kinds, "with"))
    named = [name for name in row if name != "with"]
    if len(named) != 1:
        raise _wrong(at, _("needs one of: %(names)s") % {"names": ", ".join(kinds)})
    kind = Kind(named[0])
    value = row[kind]
    if kind == Kind.REFUSED:
        if not isinstance(value, bool):
            raise _wrong(f"{at}.{kind}", _("must be true or false"))
        return _without_arguments(row, at, kind, value)
    value = _text(value, f"{at}.{kind}", MAX_VALUE_CHARACTERS)
    if kind == Kind.MATCHES:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as exc:
            raise _wrong(f"{at}.{kind}", _("is no regular expression")) from exc
    if kind != Kind.CALLS:
        return _without_arguments(row, at, kind, value)
    arguments = row.get("with", {})
    if not isinstance(arguments, dict) or not all(isinstance(name, str) and name.isprintable() for name in arguments):
        raise _wrong(f"{at}.with", _("must be a list of names with values"))
    for name, given in arguments.items():
        if not isinstance(given, str | int | float | bool) or (isinstance(given, float) and not isfinite(given)):
            raise _wrong(f"{at}.with.{name}", _("must be a text, a number, true or false"))
        if isinstance(given, str):
            _require_printable(given, f"{at}.with.{name}")
    return Expectation(kind, value, arguments)


def _without_arguments(row: Mapping[str, Any], at: str, kind: Kind, value: str | bool) -> Expectation:
    if "with" in row:
        raise _wrong(f"{at}.with", _("belongs to “calls” only"))
    return Expectation(kind, value)


def _keys(data: Any, at: str, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _wrong(at, _("must be a list of names with values"))
    for name in data:
        if name not in required + optional:
            raise _wrong(at, _("“%(name)s” is not known here") % {"name": str(name)[:40]})
    for name in required:
        if name not in data:
            raise _wrong(at, _("“%(name)s” is missing") % {"name": name})
    return data


def _list(data: Any, at: str, most: int) -> list[Any]:
    if not isinstance(data, list):
        raise _wrong(at, _("must be a list"))
    if len(data) > most:
        raise _wrong(at, _("has more than %(count)d entries") % {"count": most})
    return data


def _text(data: Any, at: str, most: int) -> str:
    if not isinstance(data, str):
        raise _wrong(at, _("must be a text; put numbers and dates in quotes"))
    if not data.strip() or len(data) > most:
        raise _wrong(at, _("must have 1 to %(count)d characters") % {"count": most})
    _require_printable(data, at)
    return data


def _require_printable(text: str, at: str) -> None:
    if any(not (sign.isprintable() or sign in "\n\t") for sign in text):
        raise _wrong(at, _("has characters that cannot be shown"))


def _wrong(at: str, problem: str) -> ScriptError:
    return ScriptError(f"{at or 'YAML'}: {problem}.")

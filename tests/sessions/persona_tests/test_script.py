"""The YAML of tests is strict, and nothing is lost."""

from __future__ import annotations

import pytest

from sessions.persona_tests.script import Expectation, Kind, ScriptError, read, write

WHOLE = """\
tests:
- name: Price of a ticket
  turns:
  - say: What does a ticket cost?
    expect:
    - contains: 12.50 euros
    - does_not_contain: 'free: yes'
    - matches: \\d+\\.\\d\\d
    - cites: Visits
    - refused: false
    - judged: It names the price.
  - say: 'Write to me: ana@example.com'
    expect:
    - calls: leave_message
      with:
        contact: ana@example.com
        copies: 2
- name: Niño «así»
  turns:
  - say: "Hola\\nadiós"
"""


def test_what_is_exported_is_imported_the_same() -> None:
    tests = read(WHOLE)
    assert read(write(tests)) == tests
    assert tests[0].turns[1].expect == (
        Expectation(Kind.CALLS, "leave_message", {"contact": "ana@example.com", "copies": 2}),
    )
    assert tests[1].turns[0].say == "Hola\nadiós"
    assert write(tests).count("\n") >= WHOLE.count("\n") - 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tests: [{name: A, turns: [{say: Hi, expects: []}]}]", "tests[1].turns[1]: “expects” is not known"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{contains: 12.5}]}]}]", "tests[1].turns[1].expect[1].contains"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{contains: a, cites: b}]}]}]", "needs one of"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{matches: '('}]}]}]", "no regular expression"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{refused: 1}]}]}]", "true or false"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{cites: a, with: {b: c}}]}]}]", "belongs to “calls”"),
        ("tests: [{name: A, turns: [{say: Hi, expect: [{calls: a, with: {b: .nan}}]}]}]", "a number, true or false"),
        ('tests: [{name: A, turns: [{say: Hi, expect: [{calls: a, with: {b: "\\0"}}]}]}]', "cannot be shown"),
        ('tests: [{name: A, turns: [{say: Hi, expect: [{calls: a, with: {"\\0": b}}]}]}]', "names with values"),
        ("tests: [{name: A, turns: []}]", "tests[1].turns: has no turn"),
        ("tests: [{name: A, name: B, turns: [{say: Hi}]}]", "“name” is there twice"),
        ("tests:\n- &a {name: A, turns: [{say: Hi}]}\n- *a", "Line 3: aliases"),
        ("tests: [{name: A, turns: [{say: Hi}]}, {name: A, turns: [{say: Hi}]}]", "Two tests"),
        ("tests: [", "Line 1"),
        ("tests: !!python/object:os.system {}", "Line 1"),
        ("test: []", "“test” is not known"),
        ("[]", "YAML: must be"),
        ("? {a: b}\n: c", "Line 1"),
        ("a" * 100_001, "too long"),
    ],
)
def test_an_error_names_its_place(text: str, named: str) -> None:
    with pytest.raises(ScriptError) as raised:
        read(text)
    assert named in str(raised.value)


@pytest.mark.parametrize("value", [".inf", ".nan", '"\\0"', '"\\ud800"'])
def test_an_argument_that_no_database_stores_is_refused(value: str) -> None:
    with pytest.raises(ScriptError, match=r"tests\[1\]\.turns\[1\]\.expect\[1\]\.with"):
        read(f"tests: [{{name: A, turns: [{{say: Hi, expect: [{{calls: x, with: {{a: {value}}}}}]}}]}}]")


def test_an_error_of_the_yaml_itself_is_not_told_in_the_packages_english() -> None:
    with pytest.raises(ScriptError) as raised:
        read("tests:\n- [unclosed")
    assert str(raised.value) == "Line 2 is not valid YAML."

"""Comparison of docs/providers.md with the emulator."""

from __future__ import annotations

from dataclasses import fields

from heygen_portal.emulator.control.faults import KINDS
from heygen_portal.emulator.openai.errors import OPENAI_ERRORS
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import ACTIONS, ERRORS, TRANSITIONS, State
from tests.emulator.providers_doc import cases, table


def test_the_documented_errors_match_the_code() -> None:
    quoted = {row["key"]: (int(row["HTTP"]), int(row["code"]), row["message"]) for row in table("key")}
    assert quoted == {key: (error.status, error.code, error.message) for key, error in ERRORS.items()}


def test_the_documented_transitions_match_the_code() -> None:
    quoted = {row["from"]: set(row["may go to"].split(", ")) - {"nothing"} for row in table("from")}
    assert quoted == {state: set(targets) for state, targets in TRANSITIONS.items()}


def test_the_documented_refusals_of_each_state_match_the_code() -> None:
    quoted = {row["verb"]: {state: row[state] for state in State} for row in table("verb")}
    codes = {
        verb: {state: str(ERRORS[refusal].code) if refusal else "yes" for state, refusal in row.items()}
        for verb, row in ACTIONS.items()
    }
    assert quoted == codes


def test_the_documented_rules_match_the_code() -> None:
    quoted = {row["rule"]: row["default"] for row in table("rule")}
    assert quoted == {field.name: str(field.default).removesuffix(".0").lower() for field in fields(Rules)}


def test_the_documented_faults_match_the_code() -> None:
    quoted = {row["kind"]: row["takes"] for row in table("kind")}
    assert quoted == {kind: ", ".join(takes) or "nothing" for kind, takes in KINDS.items()}


def test_the_documented_refusals_of_models_match_the_code() -> None:
    quoted = {row["refusal"]: (int(row["status"]), row["type"], row["coded"] == "yes") for row in table("refusal")}
    assert quoted == {key: (error.status, error.kind, error.is_coded) for key, error in OPENAI_ERRORS.items()}


def test_every_refusal_except_in_closing_has_a_case() -> None:
    """`closing` lasts only while the room is deleted, too short for a second call."""
    refusals = {refusal for row in ACTIONS.values() for refusal in row.values() if refusal} - {"state_closing"}
    assert {ERRORS[refusal].code for refusal in refusals} <= {case.code for case in cases()}

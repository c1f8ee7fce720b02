import re

import pytest

from waypost.errors import Code, Kind, LocalError, PeerFault, Refused, WaypostError, code_of, describe, is_for_good

#: Published numbers keep their meaning for ever: a changed line here is a broken protocol.
PINNED = {
    100: "BAD_FRAME",
    105: "BAD_SIGNATURE",
    150: "CLOSING",
    200: "STORE_FULL",
    204: "UNREACHABLE",
    300: "NOT_FOUND",
    302: "MALFORMED_ENVELOPE",
    400: "BAD_REQUEST",
    500: "BAD_ADDRESS",
    512: "CANNOT_DECRYPT",
}


def test_no_number_is_used_twice() -> None:
    # Enum makes an alias of an equal value, and an alias is missing from iteration.
    assert len(Code.__members__) == len(list(Code))
    assert len({code.number for code in Code}) == len(Code.__members__)


def test_pinned_numbers() -> None:
    assert {number: code.name for number in PINNED if (code := code_of(number))} == PINNED


@pytest.mark.parametrize("code", Code)
def test_number_lies_in_the_range_of_its_kind(code: Code) -> None:
    ranges = {
        Kind.FAULT: range(100, 150),
        Kind.LATER: (*range(150, 180), *range(200, 300)),
        Kind.NEVER: (*range(150, 180), *range(300, 450)),
        Kind.LOCAL: range(500, 600),
    }
    assert code.number in ranges[code.kind]


@pytest.mark.parametrize("code", Code)
def test_texts_are_fit_to_show(code: Code) -> None:
    assert re.fullmatch(r"[A-Za-z].*[^.]", code.title)
    assert re.fullmatch(r"[A-Z].*\.", code.remedy)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.label)


def test_lookup_and_description() -> None:
    assert all(code_of(code.number) is code for code in Code)
    assert code_of(999) is None
    assert describe(300) == str(Code.NOT_FOUND) == "not-found (300)"
    assert describe(999) == "unknown (999)"


def test_only_never_is_for_good() -> None:
    assert is_for_good(Code.NOT_FOUND.number)
    assert not is_for_good(Code.STORE_FULL.number)
    assert not is_for_good(Code.BAD_FRAME.number)
    assert not is_for_good(999)


@pytest.mark.parametrize("error", [PeerFault, Refused, LocalError])
def test_message_has_title_detail_remedy_and_number(error: type[WaypostError]) -> None:
    code = Code.NOT_FOUND
    assert str(error(code)) == f"{code.title}. {code.remedy} [300]"
    assert str(error(code, "bob@finch.example")) == f"{code.title}: bob@finch.example. {code.remedy} [300]"
    assert isinstance(error(code), WaypostError)

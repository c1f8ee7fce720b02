from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.discovery.txt import (
    Announced,
    Announcement,
    dns_value,
    lan_properties,
    parse_dns_values,
    parse_lan_properties,
)
from waypost.ids import Provider, is_canonical_provider

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
RECORD = bytes(range(16))
GOOD: dict[bytes, bytes | None] = {
    name.encode(): value.encode()
    for name, value in lan_properties(Announcement(Provider("birdy.local"), 7711, KEY, RECORD)).items()
}


def test_an_announcement_reads_as_it_was_written() -> None:
    assert parse_lan_properties(GOOD) == Announced(Provider("birdy.local"), KEY, RECORD)
    assert parse_lan_properties({**GOOD, b"later": b"more", b"flag": None}) is not None


def test_the_longest_announcement_fits_the_bound() -> None:
    from waypost.limits import MDNS_TXT_MAX_BYTES, PROVIDER_MAX_CHARS

    longest = "a.".ljust(PROVIDER_MAX_CHARS - 6, "b") + ".local"
    values = lan_properties(Announcement(Provider(longest), 7711, KEY, RECORD))
    assert sum(2 + len(name) + len(value) for name, value in values.items()) <= MDNS_TXT_MAX_BYTES
    # RFC 6763 §6.1: one string has at most 255 bytes.
    assert len(f"name={'b' * 249}") <= 255


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"v", None),
        (b"v", b"waypost2"),
        (b"name", None),
        (b"name", b""),
        (b"name", b"Birdy.local"),
        (b"name", b"birdy.local."),
        (b"name", b" birdy.local"),
        (b"name", b"birdy.example"),
        (b"name", b"birdy.notlocal"),
        (b"name", b"local"),
        (b"name", b".local"),
        (b"name", b"b\xc3\xbcrdy.local"),
        (b"name", b"\xff.local"),
        (b"name", b"a" * 60_000 + b".local"),
        (b"key", None),
        (b"key", b"k" * 51),
        (b"key", b"1" * 52),
        (b"key", b"a" * 51 + b"b"),
        (b"key", b"\xff" * 52),
        (b"record", None),
        (b"record", b"0" * 31),
        (b"record", b"0" * 34),
        (b"record", b"G" * 32),
        (b"record", b"0" * 32 + b"\n"),
    ],
)
def test_a_malformed_or_foreign_value_makes_no_announcement(field: bytes, value: bytes | None) -> None:
    assert parse_lan_properties({**GOOD, field: value}) is None


@given(
    st.dictionaries(
        st.sampled_from([b"v", b"name", b"key", b"record", b"x"]),
        st.one_of(st.none(), st.binary(max_size=80), st.sampled_from([*GOOD.values()])),
    )
)
def test_whatever_is_announced_only_canonical_values_come_out(properties: dict[bytes, bytes | None]) -> None:
    announced = parse_lan_properties(properties)
    if announced is not None:
        assert is_canonical_provider(announced.provider)
        assert announced.provider.endswith(".local")
        assert (
            lan_properties(Announcement(port=1, **asdict(announced))).items()
            <= {name.decode(): (value or b"").decode(errors="replace") for name, value in properties.items()}.items()
        )


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([], None),
        ([dns_value(KEY)], KEY),
        ([dns_value(KEY).replace("; ", ";")], KEY),
        ([dns_value(KEY) + "; later=x;"], KEY),
        (["v=spf1 -all", dns_value(KEY), "v=waypost2; key=x"], KEY),
        ([dns_value(KEY), dns_value(KEY)], KEY),
        ([dns_value(KEY), dns_value(OTHER_KEY)], None),
        ([dns_value(KEY) + dns_value(OTHER_KEY)[len("v=waypost1") :]], None),
        (["v=waypost1"], None),
        (["v=waypost1; key="], None),
        (["v=waypost1; key=" + "a" * 51], None),
        (["key=" + dns_value(KEY)], None),
        ([dns_value(KEY) + ";" * 60_000], None),
    ],
)
def test_the_key_that_dns_names(values: list[str], key: bytes | None) -> None:
    assert parse_dns_values(value.encode() for value in values) == key


@given(st.lists(st.binary(max_size=120)))
def test_garbage_in_dns_names_no_key(values: list[bytes]) -> None:
    assert parse_dns_values(values) is None

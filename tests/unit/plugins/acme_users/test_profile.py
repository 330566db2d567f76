"""What a profile may hold."""

from __future__ import annotations

import pytest
from acme_users.profile import FIELDS, changes

from acme import Invalid
from acme.contracts.users.v1 import UpdateMeRequest


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("DE", "de"),
        ("de-ch", "de-CH"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("sl-ROZAJ-biske", "sl-rozaj-biske"),
        ("en-US-x-TW", "en-US-x-tw"),
        ("es-419", "es-419"),
    ],
)
def test_a_language_tag_is_kept_in_the_customary_case(said: str, kept: str) -> None:
    assert changes(UpdateMeRequest(locale=said), ["locale"]) == {"locale": kept}


@pytest.mark.parametrize("url", ["", "https://example.com/a.png", "https://[2001:db8::1]:8443/a%20b.png?x=1#y"])
def test_a_picture_is_an_https_address_or_none(url: str) -> None:
    assert changes(UpdateMeRequest(avatar_url=url), ["avatar_url"]) == {"avatar_url": url}


@pytest.mark.parametrize(
    "url", ["https://", "https:example.com", "https://[::1", "https://a b/", "https://\u00e4.example/"]
)
def test_what_is_no_address_of_a_picture_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        changes(UpdateMeRequest(avatar_url=url), ["avatar_url"])


@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", "America/Argentina/Ushuaia"])
def test_a_time_zone_is_one_of_the_database(zone: str) -> None:
    assert changes(UpdateMeRequest(time_zone=zone), ["time_zone"]) == {"time_zone": zone}


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        changes(UpdateMeRequest(avatar_url="ftp://x", time_zone="Mars"), list(FIELDS))
    assert [fault.pointer for fault in caught.value.faults] == ["/display_name", "/avatar_url", "/locale", "/time_zone"]


def test_only_what_the_mask_names_is_changed() -> None:
    assert changes(UpdateMeRequest(display_name="Ann", locale="de"), ["display_name"]) == {"display_name": "Ann"}

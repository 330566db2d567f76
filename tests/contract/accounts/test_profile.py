"""What people say about themselves."""

from __future__ import annotations

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import GetMeRequest, UpdateMeRequest, User, UsersStub, UserUpdated
from acme.errors import Invalid
from acme.testing import Platform
from acme.testing import User as Caller

pytestmark = pytest.mark.every_placement


async def update(platform: Platform, caller: Caller, **values: str) -> User:
    request = UpdateMeRequest(update_mask=FieldMask(paths=sorted(values)))
    for name, value in values.items():
        setattr(request, name, value)
    return await platform.stub(UsersStub, as_=caller).update_me(request)


async def test_picture_language_and_time_zone_are_kept_and_the_rest_stays(platform: Platform, ann: Caller) -> None:
    before = await platform.stub(UsersStub, as_=ann).get_me(GetMeRequest())
    assert (before.avatar_url, before.locale, before.time_zone) == ("", "en", "UTC")
    picture = "https://cdn.example.com/ann.png?size=64"
    after = await update(platform, ann, avatar_url=picture, locale="de-ch", time_zone="Europe/Zurich")
    assert (after.avatar_url, after.locale, after.time_zone) == (picture, "de-CH", "Europe/Zurich")
    assert (after.display_name, after.email, after.version) == (before.display_name, before.email, before.version + 1)
    assert after == await platform.stub(UsersStub, as_=ann).get_me(GetMeRequest())
    assert (await platform.outbox("users", key=ann.id))[-1] == UserUpdated(
        user_id=ann.id, version=after.version, updated_at=after.updated_at
    )


async def test_a_picture_can_be_taken_away(platform: Platform, ann: Caller) -> None:
    await update(platform, ann, avatar_url="https://example.com/ann.png")
    assert (await update(platform, ann, avatar_url="")).avatar_url == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("avatar_url", "http://example.com/ann.png"),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "//example.com/ann.png"),
        ("avatar_url", "https:///ann.png"),
        ("avatar_url", "https://user:secret@example.com/ann.png"),
        ("avatar_url", "https://example.com\\@evil.example/ann.png"),
        ("avatar_url", "https://example.com:99999/ann.png"),
        ("avatar_url", "https://example.com/" + "a" * 2048),
        ("locale", "german"),
        ("locale", "de_CH"),
        ("locale", ""),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("display_name", ""),
    ],
)
async def test_what_is_none_of_its_kind_is_refused_with_a_pointer(
    platform: Platform, ann: Caller, field: str, value: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await update(platform, ann, **{field: value})
    assert f"/{field}" in [fault.pointer for fault in caught.value.faults]

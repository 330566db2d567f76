"""What the tests of invitations do over and over."""

from __future__ import annotations

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    Invitation,
    ListInvitationsRequest,
    UpdateMemberRequest,
)
from acme.errors import Refused
from acme.testing import User as Caller
from tests.offices import Office


async def accept(office: Office, caller: Caller, token: str) -> AcceptInvitationReply:
    return await office.invitations(caller).accept_invitation(AcceptInvitationRequest(token=token))


async def why_not(office: Office, caller: Caller, token: str) -> tuple[type[Refused], str]:
    """How accepting is refused; nothing changes."""
    before = await office.everything()
    with pytest.raises(Refused) as caught:
        await accept(office, caller, token)
    assert await office.everything() == before
    return type(caught.value), caught.value.reason


async def set_role(office: Office, user: Caller, role: str) -> None:
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id, user_id=user.id, role=role, update_mask=FieldMask(paths=["role"])
        )
    )


async def open_ones(office: Office, caller: Caller | None = None) -> list[Invitation]:
    """Every open invitation, page by page of two."""
    found: list[Invitation] = []
    token = ""
    while True:
        request = ListInvitationsRequest(organization_id=office.id, page_size=2, page_token=token)
        reply = await office.invitations(caller).list_invitations(request)
        found += reply.invitations
        token = reply.next_page_token
        if not token:
            return found

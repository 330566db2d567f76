"""What is dead, and for how long that is remembered."""

from __future__ import annotations

from acme.tokens import Verifier
from tests.unit.acme.authority import Authority, refusal


async def test_a_session_s_tokens_die_with_the_next_poll(authority: Authority, verifier: Verifier) -> None:
    mine, other = authority.token(), authority.token(sid="ses_2")
    await verifier.verify(mine)
    await verifier.verify(other)
    authority.revoke_session("ses_1")
    await verifier.poll()
    assert verifier.cached(mine) is None
    assert (await refusal(verifier, mine)).reason == "token_revoked"
    assert (await refusal(verifier, authority.token(jti="2"))).reason == "token_revoked"
    assert verifier.cached(other) is not None


async def test_an_epoch_kills_the_tokens_below_it_and_no_others(authority: Authority, verifier: Verifier) -> None:
    old, new, other = authority.token(epoch=1), authority.token(epoch=2), authority.token(sub="usr_2", epoch=1)
    for token in (old, new, other):
        await verifier.verify(token)
    authority.revoke_epochs("usr_1", 2)
    await verifier.poll()
    assert verifier.cached(old) is None
    assert (await refusal(verifier, old)).reason == "token_revoked"
    assert verifier.cached(new) is not None
    assert verifier.cached(other) is not None


async def test_a_lower_epoch_that_comes_later_revives_nothing(authority: Authority, verifier: Verifier) -> None:
    authority.revoke_epochs("usr_1", 5)
    authority.revoke_epochs("usr_1", 3)
    await verifier.poll()
    assert (await refusal(verifier, authority.token(epoch=4))).reason == "token_revoked"


async def test_a_revocation_is_forgotten_when_its_tokens_have_expired(authority: Authority, verifier: Verifier) -> None:
    authority.revoke_session("ses_1")
    await verifier.poll()
    authority.clock.advance(899)
    await verifier.poll()
    assert (await refusal(verifier, authority.token())).reason == "token_revoked"
    authority.clock.advance(10)
    await verifier.poll()
    assert (await verifier.verify(authority.token())).session == "ses_1"

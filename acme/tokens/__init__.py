"""Verifies access tokens and follows key, revocation and membership changes, for the gateway and for every worker.

Three kinds of access token come as Bearer tokens (RFC 6750). People get JWTs from a log-in; programs get opaque ones, which
their owners make: "acp_…", personal, and "acs_…", of a service account, each with 256 random bits. And other issuers make
JWTs for whomever they know, which are believed as far as `[tokens.issuers]` says (`issuers.py` has their profile).

The profile of a JWT of our own (RFC 9068, a JWS in compact form, ES256). The service that keeps the authority contract
issues exactly these; anything else is refused.

    header   alg "ES256" · typ "at+jwt" · kid                        and nothing else: no crit, jku, jwk, x5u
    iss      issuer, a fixed name independent of host and port       aud   "acme-api", or a list that holds it
    sub      user id, "usr_…"                                        client_id   the application, "acme"
    iat, nbf, exp   seconds since the Unix epoch                     jti   id of the token
    sid      id of the session, "ses_…"                              auth_time   when a password was proved last
    scope    permissions separated by spaces; "*" for all            org   the personal organisation, "org_…"
    region   the principal's region                                  epoch   tokens below a revoked one are dead

What is read: iss, aud, exp, nbf, iat, auth_time, sub, sid, scope, org, region, epoch. The others are for people and audits.

No token says what its holder may do where. Whoever verifies one asks the authority for the memberships of its subject
(`Grants`, or for an opaque token `Introspect`, RFC 7662 in spirit) and keeps them with the principal. So a change of role
costs nobody the token, and takes nobody a new one.

`poll` runs every 250 ms (`acme/tasks.py` drives it): it asks the authority for what has changed since the last answer, and
fetches the keys when their version moves. A session, or an opaque token, that has ended is dead from then on; where
memberships have changed, what was kept of them is dropped and asked for again. An answer that was overtaken by such a
change on its way is thrown away: it bears the number of the last change that it includes. When the last successful poll is
more than a second old, nobody knows what has been revoked: `fresh` is false, requests that bear a token get 503, never 401,
and the process is not ready. So whatever is taken from somebody is gone everywhere within a second or so.

Who made a change need not wait for that. A method that announces one says so in its contract (`changes_access`), and the
gateway polls before it answers. A call to another process says how far its caller has followed the authority (`Call.seen`),
and a verifier that is behind polls once before it judges the token. Nothing of this costs a request that nothing precedes.

What is kept is bounded: principals and memberships by `TokenSettings.cache`, a JWT's by its end, an opaque token's for a
minute (which is how exact its `last_used_at` is). A token that the authority does not know is remembered for a few seconds,
and only so many that are new are asked about at a time: a flood of made-up tokens costs the authority little, and those
who were here before do not wait for it.

The keys of other issuers are fetched by every process that verifies, ahead of time and for a key that nobody knows; what
they vouch for is nobody of ours, has the memberships that were declared for it, and cannot be revoked here.

    verifier.py       Verifier: what others use       jwt.py             the profile above
    jws.py            any signed token, read strictly
    keys.py           the authority's keys            introspection.py   opaque tokens
    issuers.py        other issuers, their profile    issuer_settings.py `[tokens.issuers.NAME]`
    remote.py         their keys, behind a URL        jwks.py            what of a key set is used
    claims.py         claims → principal
    grants.py         memberships of subjects         revocations.py     what is dead
    principals.py     verified tokens, kept           flights.py         one question at a time
    settings.py       `[tokens]`                      assertions.py      what a client's certificate proved, told to workers
"""

from acme.tokens.assertions import Assertions
from acme.tokens.grants import memberships
from acme.tokens.issuer_settings import IssuerSettings, PrincipalSettings
from acme.tokens.settings import FRESH, POLL_EVERY, TokenSettings
from acme.tokens.verifier import Verifier

__all__ = [
    "FRESH",
    "POLL_EVERY",
    "Assertions",
    "IssuerSettings",
    "PrincipalSettings",
    "TokenSettings",
    "Verifier",
    "memberships",
]

"""Log-in to Amazon MSK with AWS IAM: signed tokens for SASL/OAUTHBEARER.

A token lives 15 minutes and is asked for with every new connection. aiokafka does not log in again on a connection that
stands (KIP-368): MSK closes it after some hours, and the next one has a new token.
"""

from __future__ import annotations

import asyncio

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # it ships no types


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Tokens of the account that AWS's libraries find: environment, profile, or the role of the pod."""

    def __init__(self, region: str, timeout: float) -> None:
        self._region, self._timeout = region, timeout

    async def token(self) -> str:
        """A new one. Signing reads files and may ask the metadata service, so it is done in a thread.

        Raises:
            TimeoutError: it took too long.
            AuthenticationFailedError: there is no account to sign with.
        """
        try:
            async with asyncio.timeout(self._timeout):
                token, _expiry = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, self._region)
        except (
            BotoCoreError,
            ValueError,
            AttributeError,
        ) as error:  # the last one where AWS's library finds no account
            raise AuthenticationFailedError(type(error).__name__) from error
        return str(token)

"""`s3://bucket/prefix`: objects in a bucket of Amazon S3, or of a server that speaks its protocol, over aioboto3.

    s3://acme-archive/us-east?region=us-east-1
    s3://archive?endpoint=http://minio:9000          # another server; buckets in the path

Credentials are the process's own (environment, role, profile), never in the URL. `create` is a conditional write
(`If-None-Match: *`). Locks are S3 Object Lock in COMPLIANCE mode, which nobody shortens, root included; the bucket needs to
have been made with it. Some servers let a lock be shortened all the same, so we look before we set one.

Objects are written in one request, with a SHA-256 that the store compares: up to 5 GiB, and meant for up to 64 MiB.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import aioboto3  # type: ignore[import-untyped]  # it ships no types
from botocore.config import Config  # type: ignore[import-untyped]  # nor does this
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # nor does this

from acme.drivers.files import check
from acme.errors import Unavailable
from acme.ports import ObjectExists, ObjectFacts, ObjectLocked, ObjectMissing, ObjectStore

T = TypeVar("T")

_KNOWN: Final = {"region", "endpoint"}
_MISSING: Final = {"404", "NoSuchKey", "NotFound"}
_TAKEN: Final = {"PreconditionFailed", "412"}
_BUSY: Final = {"ConditionalRequestConflict", "409", "OperationAborted"}
"""Two conditional writes at once: S3 asks the second one to look again."""
_LOCKED: Final = {"AccessDenied", "ObjectLocked", "InvalidRequest"}
"""What servers answer where a lock forbids it."""


async def open_objects(url: str, *, timeout: float = 10.0, **_: object) -> ObjectStore:
    """The objects below a prefix of a bucket. Does not connect yet.

    Raises:
        ValueError: a URL that it cannot read.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not parts.netloc or "@" in parts.netloc:
        raise ValueError("write s3://BUCKET/PREFIX; credentials are the process's own, not in the URL")
    if unknown := sorted(options.keys() - _KNOWN):
        raise ValueError(f"s3: knows {', '.join(sorted(_KNOWN))}, not {', '.join(unknown)}")
    prefix = parts.path.strip("/")
    return Bucket(parts.netloc, f"{check(prefix)}/" if prefix else "", options, timeout)


class Bucket:
    """The objects below one prefix."""

    def __init__(self, bucket: str, prefix: str, options: dict[str, str], timeout: float) -> None:
        self._bucket, self._prefix, self._timeout = bucket, prefix, timeout
        self._options = options
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._state = "ok"

    async def create(self, name: str, content: bytes, *, locked_until: datetime | None = None) -> None:
        extra: dict[str, Any] = {"IfNoneMatch": "*"}
        if locked_until is not None:
            extra |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": locked_until}
        for _ in range(3):
            try:
                return await self._write(name, content, extra)
            except ClientError as error:
                if _code(error) in _TAKEN:
                    raise ObjectExists(name) from None
                if _code(error) not in _BUSY:
                    raise self._failed(error) from error
        raise Unavailable("the archive's bucket refused the same write three times")

    async def put(self, name: str, content: bytes) -> None:
        # With versions, S3 keeps what is locked and puts another version over it. Readers would see that one.
        try:
            before = await self.facts(name)
        except ObjectMissing:
            before = None
        if before is not None and before.locked_until is not None and before.locked_until > datetime.now(UTC):
            raise ObjectLocked(name)
        try:
            await self._write(name, content, {})
        except ClientError as error:
            raise self._failed(error) from error

    async def get(self, name: str) -> bytes:
        client = await self._opened()
        try:
            found = await self._within(client.get_object(Bucket=self._bucket, Key=self._key(name)))
            content: bytes = await self._within(found["Body"].read())
        except ClientError as error:
            if _code(error) in _MISSING:
                raise ObjectMissing(name) from None
            raise self._failed(error) from error
        return content

    async def facts(self, name: str) -> ObjectFacts:
        client = await self._opened()
        try:
            found = await self._within(client.head_object(Bucket=self._bucket, Key=self._key(name)))
        except ClientError as error:
            if _code(error) in _MISSING:
                raise ObjectMissing(name) from None
            raise self._failed(error) from error
        until = found.get("ObjectLockRetainUntilDate")
        return ObjectFacts(name, found["ContentLength"], found["LastModified"].astimezone(UTC), until)

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[ObjectFacts]:
        if prefix:
            check(prefix.rstrip("/"))
        client = await self._opened()
        place: dict[str, str] = {"StartAfter": self._prefix + after} if after else {}
        while True:
            call = client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **place)
            try:
                page = await self._within(call)
            except ClientError as error:
                raise self._failed(error) from error
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(self._prefix)
                yield ObjectFacts(name, each["Size"], each["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, name: str) -> None:
        # A bucket with object lock has versions: without naming one, S3 only hides what is locked.
        try:
            before = await self.facts(name)
        except ObjectMissing:
            return
        if before.locked_until is not None and before.locked_until > datetime.now(UTC):
            raise ObjectLocked(name)
        client = await self._opened()
        try:
            await self._within(client.delete_object(Bucket=self._bucket, Key=self._key(name)))
        except ClientError as error:
            if _code(error) in _LOCKED:
                raise ObjectLocked(name) from None
            raise self._failed(error) from error

    async def lock(self, name: str, until: datetime) -> None:
        before = await self.facts(name)
        if before.locked_until is not None and before.locked_until > until:
            raise ValueError(f"{name} is locked until {before.locked_until.isoformat()}, which is later")
        client = await self._opened()
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
        call = client.put_object_retention(Bucket=self._bucket, Key=self._key(name), Retention=retention)
        try:
            await self._within(call)
        except ClientError as error:
            if _code(error) in _LOCKED:
                raise ValueError("the bucket cannot lock objects: it has to be made with object lock") from error
            raise self._failed(error) from error

    @property
    def state(self) -> str:
        return self._state

    async def close(self) -> None:
        await self._stack.aclose()

    def _key(self, name: str) -> str:
        return self._prefix + check(name)

    async def _write(self, name: str, content: bytes, extra: dict[str, Any]) -> None:
        client = await self._opened()
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        call = client.put_object(
            Bucket=self._bucket,
            Key=self._key(name),
            Body=content,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
            **extra,
        )
        await self._within(call)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                config = Config(
                    connect_timeout=self._timeout,
                    read_timeout=self._timeout,
                    retries={"mode": "standard", "max_attempts": 3},
                    s3={"addressing_style": "path" if "endpoint" in self._options else "auto"},
                )
                client = aioboto3.Session().client(
                    "s3",
                    region_name=self._options.get("region"),
                    endpoint_url=self._options.get("endpoint"),
                    config=config,
                )
                self._client = await self._stack.enter_async_context(client)
        return self._client

    async def _within(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout * 4):  # the library's own attempts included
                done = await work
        except ClientError:
            raise
        except (BotoCoreError, OSError, TimeoutError) as error:
            self._state = f"the bucket cannot be reached: {type(error).__name__}"
            raise Unavailable("the archive's bucket cannot be reached") from error
        self._state = "ok"
        return done

    def _failed(self, error: ClientError) -> Unavailable:
        self._state = f"the bucket answers {_code(error)}"
        return Unavailable(f"the archive's bucket answers {_code(error)}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))

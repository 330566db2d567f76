"""Messages → Server-Sent Events, the format (WHATWG HTML, "Server-sent events").

    id: 42                      the reply's field with the header "Last-Event-ID", where the contract has one
    data: {"value":42}          the reply as JSON, on one line

    : ¶                         a comment, where nothing else came for a while: whoever lies between keeps the connection

A stream that is over says so: `event: end`, or `event: problem` with the refusal that ended it (RFC 9457). One that ends
without either was interrupted: the client asks again, and names the last id that it has seen in Last-Event-ID, which fills
the request's field of that header.
"""

from __future__ import annotations

from typing import Any, Final

from acme.codec.json import Json
from acme.contract import Field, Message

LAST_EVENT_ID: Final = "last-event-id"
EVENT_STREAM: Final = "text/event-stream"

HEARTBEAT: Final = b":\n\n"
END: Final = b"event: end\ndata: {}\n\n"


def ended(problem: bytes) -> bytes:
    """The event that says why a stream ended before it was over. `problem` is JSON on one line."""
    return b"event: problem\ndata: %b\n\n" % problem


def again(milliseconds: int) -> bytes:
    """How long to wait before asking again."""
    return b"retry: %d\n\n" % milliseconds


def names_event(field: Field) -> bool:
    """Whether a reply's field is the id of its event, and a request's is filled with the last one that was seen."""
    return field.header.lower() == LAST_EVENT_ID


class Frames:
    """The events of one kind of message."""

    def __init__(self, message: Message, json: Json) -> None:
        self._encode = json.encoder(message)
        self._id = next((field.attr for field in message.fields if names_event(field)), "")

    def of(self, reply: Any) -> bytes:
        """The event of a reply.

        Raises:
            ValueError: its id would end the line, or JSON cannot say it.
        """
        data = b"data: %b\n\n" % self._encode(reply)
        name = getattr(reply, self._id) if self._id else None
        if name in (None, ""):
            return data
        text = str(name)
        if not text.isprintable():
            raise ValueError("the id of an event holds control characters")
        return b"id: %b\n%b" % (text.encode(), data)

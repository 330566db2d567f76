"""Log lines: key-value pairs by structlog, one line each, with the request id of the call that is being served."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Protocol

import structlog

from acme.context import CALL


class Logger(Protocol):
    """What we use of a structlog logger."""

    def debug(self, event: str, **pairs: Any) -> Any: ...
    def info(self, event: str, **pairs: Any) -> Any: ...
    def warning(self, event: str, **pairs: Any) -> Any: ...
    def error(self, event: str, **pairs: Any) -> Any: ...


def logger(name: str) -> Logger:
    """The logger of a module; how lines look is settled by `configure_logs`."""
    log: Logger = structlog.get_logger(module=name)
    return log


def configure_logs(*, json: bool, level: str = "info") -> None:
    """Says how log lines look: JSON for machines, aligned text for people. Called once, by the command line."""
    shown: list[Any]
    if json:
        shown = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain tracebacks: structlog's pretty ones show the values of variables, and those may be secrets.
        plain = structlog.dev.plain_traceback
        shown = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            _of_the_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _of_the_call(_logger: Any, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Every line written while a call is served says which request it belongs to."""
    call = CALL.get(None)
    if call is not None:
        line.setdefault("request_id", call.request_id)
    return line

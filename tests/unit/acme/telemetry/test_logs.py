"""Log lines name their request, and show no values."""

import json
from collections.abc import Callable, Iterator

import pytest
import structlog

from acme.context import ANONYMOUS, CALL, Call
from acme.telemetry import configure_logs, logger


@pytest.fixture
def configure() -> Iterator[Callable[[], None]]:
    """Called in the test itself: its stderr is not that of its fixtures."""
    before = structlog.get_config()
    yield lambda: configure_logs(json=True)
    structlog.configure(**before)


def test_a_line_written_while_a_call_is_served_names_its_request(
    configure: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    token = CALL.set(Call("a.B/C", ANONYMOUS, "req_1", 0.0))
    try:
        logger("test").info("inside")
    finally:
        CALL.reset(token)
    logger("test").info("outside")
    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert inside["request_id"] == "req_1"
    assert "request_id" not in outside


def test_a_traceback_in_a_log_shows_no_values(
    configure: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    secret = "pass" + "word"
    try:
        raise RuntimeError(len(secret))
    except RuntimeError as error:
        logger("test").error("failed", exc_info=error)
    line = capsys.readouterr().err
    assert "RuntimeError: 8" in line
    assert secret not in line

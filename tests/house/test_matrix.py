"""The authorisation matrix says something about every method, and every kind of answer comes up in it."""

from __future__ import annotations

from collections import Counter

from tests.matrix.answers import cells
from tests.matrix.callers import CALLERS
from tests.matrix.methods import METHODS
from tests.matrix.rows import ROWS


def test_every_method_with_a_route_has_a_row_and_every_row_a_method() -> None:
    assert set(ROWS) == set(METHODS)
    assert len(METHODS) > 60


def test_every_kind_of_answer_is_expected_somewhere() -> None:
    """A derivation gone wrong would show as an answer that nobody gets, or that everybody gets."""
    found = Counter(cell.status for path in METHODS for cell in cells(path))
    assert {200, 201, 202, 204, 401, 403, 404, 409, 422} == set(found)
    assert all(found[status] > 100 for status in (200, 401, 403, 404)), found


def test_every_permission_is_refused_to_somebody_and_granted_to_somebody() -> None:
    for path, method in METHODS.items():
        if not method.public:
            statuses = {cell.status for cell in cells(path)}
            assert method.success_status in statuses, path
            assert statuses & {401, 403}, path


def test_every_caller_is_let_in_somewhere_but_nobody_and_a_stale_log_in() -> None:
    for caller in CALLERS:
        answers = {cell.status for path in METHODS for cell in cells(path) if cell.caller is caller}
        if caller.proves not in ("nothing", "stale"):
            assert answers & {200, 201, 202, 204}, caller.name

"""The status of every cell, from contract, caller and target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from acme.contract import Method
from tests.matrix.callers import CALLERS, Caller
from tests.matrix.methods import METHODS, anchor, ids, role
from tests.matrix.rows import ROWS, Row

OWN = "own"
ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Cell:
    """One request."""

    path: str
    caller: Caller
    target: str
    """`OWN`, `ARCHIVED`, or the names of the fields whose ids are another organisation's, with commas."""

    @property
    def method(self) -> Method:
        return METHODS[self.path]

    @property
    def row(self) -> Row:
        return ROWS[self.path]

    @property
    def foreign(self) -> frozenset[str]:
        return frozenset() if self.target in (OWN, ARCHIVED) else frozenset(self.target.split(","))

    @property
    def status(self) -> int:
        """What has to come back."""
        return _answer(self)

    @property
    def refused(self) -> bool:
        """Whether nothing may have changed afterwards."""
        return self.status >= 400 or bool(self.foreign)

    def __str__(self) -> str:
        return f"{self.method.name} by {self.caller.name}, {self.target}"


def cells(path: str) -> Iterator[Cell]:
    """All cells of a method."""
    method, row = METHODS[path], ROWS[path]
    fields = [*ids(method), *row.roles]
    targets = [OWN, *fields, *([",".join(fields)] if len(fields) > 1 else [])]
    if ids(method).get(anchor(method)) == "prj" and not row.batch:
        targets.append(ARCHIVED)
    for caller in CALLERS:
        if caller.proves == "stale" and not method.step_up:
            continue
        yield from (Cell(path, caller, target) for target in targets)


def _answer(cell: Cell) -> int:
    method, row, caller = cell.method, cell.row, cell.caller
    if method.public:
        return row.public or method.success_status
    if caller.proves == "nothing":
        return 401
    if method.permission not in caller.scopes:
        return 403
    if method.step_up and caller.proves != "fresh":
        return 401 if caller.proves == "stale" else 403
    about = ids(method).get(anchor(method), "")
    if caller.program and (row.oneself or not (about or row.listed)):
        return 403  # what belongs to people alone
    if caller.proves == "never" and row.session:
        return 403
    if about and not row.batch:
        refusal = _in_organization(cell) if about == "org" else _on_project(cell)
        if refusal:
            return refusal
    if cell.target == ARCHIVED:
        return row.archived or method.success_status
    if cell.foreign and not row.batch:
        named = [name for name in (*ids(method), *row.roles) if name in cell.foreign]
        return row.foreign.get(named[0], 404)
    return (row.program if caller.program else 0) or method.success_status


def _in_organization(cell: Cell) -> int:
    method, caller = cell.method, cell.caller
    if anchor(method) in cell.foreign or not caller.role:
        return 404
    return 0 if cell.row.oneself or method.permission in caller.held(method.permission) else 403


def _on_project(cell: Cell) -> int:
    method, row, caller = cell.method, cell.row, cell.caller
    held = caller.on_project(method.permission, row.direct)
    if anchor(method) in cell.foreign or not held & {method.permission, "projects.read"}:
        return 404
    if method.permission not in held:
        return 403
    settled = row.looks_first and cell.target != OWN
    return 403 if row.gives and not settled and not role(row.gives) <= held else 0

"""Rules of STYLE that no linter keeps: sizes, boundaries, SQL, secrets, and reasons where a rule is broken."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.tree import GENERATED, docstrings, files, nodes, parsed, sources, text, with_ancestors

CODE = sources("acme", "plugins")
TESTS = sources("tests")

BOUNDARIES = {
    "acme/gateway/problems.py",
    "acme/dispatch/status.py",
    "acme/bus/consumer.py",
    "acme/tasks.py",
    "acme/runtime/discovery.py",
}
"""The only files that catch everything; each logs what it caught."""

REASON = re.compile(r"\b(long|longer|in one file|one file)\b[^.]*\bbecause\b|\bbecause\b[^.]*\bone file\b", re.I | re.S)
BINARY = (".binpb", ".png", ".ico", ".lock")


def places(name: str, lines: list[int]) -> list[str]:
    return [f"{name}:{line}" for line in sorted(lines)]


def offending_lines(pattern: re.Pattern[str], *, but: tuple[str, ...] = ()) -> list[str]:
    """`file:line` of every line of a tracked text file that matches."""
    found: list[str] = []
    for name in files():
        if name.endswith(BINARY) or name.startswith(GENERATED) or name in but:
            continue
        if pattern.search(text(name)):
            lines = text(name).splitlines()
            found += places(name, [number for number, line in enumerate(lines, 1) if pattern.search(line)])
    return found


def test_no_file_is_longer_than_400_lines_without_a_reason_at_its_top() -> None:
    long = [name for name in (*CODE, *TESTS) if len(text(name).splitlines()) > 400]
    assert [name for name in long if not REASON.search("\n".join(text(name).splitlines()[:30]))] == []


def test_tasks_are_created_in_one_file_only() -> None:
    found: list[str] = []
    for name in CODE:
        calls = [node for node in nodes(name) if isinstance(node, ast.Attribute | ast.Name)]
        named = [getattr(node, "attr", getattr(node, "id", "")) for node in calls]
        if name != "acme/tasks.py":
            found += [
                f"{name}:{node.lineno}"
                for node, attribute in zip(calls, named, strict=True)
                if attribute in {"create_task", "ensure_future", "TaskGroup"}
            ]
    assert found == []


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"bare"}
    return bool(names & {"Exception", "BaseException", "bare"})


def raises_again(handler: ast.ExceptHandler) -> bool:
    """The handler cleans up and lets the error go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_everything_is_caught_at_the_five_boundaries_only() -> None:
    found: list[str] = []
    for name in CODE:
        if name in BOUNDARIES:
            continue
        for node in nodes(name):
            if isinstance(node, ast.ExceptHandler) and catches_everything(node) and not raises_again(node):
                found.append(f"{name}:{node.lineno}")
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "suppress":
                swallowed = {getattr(argument, "id", "") for argument in node.args}
                if swallowed & {"Exception", "BaseException", "CancelledError"}:
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_cancellation_is_never_swallowed() -> None:
    found: list[str] = []
    for name in CODE:
        for node in nodes(name):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                names = {getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node.type)}
                raised = any(isinstance(part, ast.Raise) for statement in node.body for part in ast.walk(statement))
                if "CancelledError" in names and not raised:
                    found.append(f"{name}:{node.lineno}")
    assert found == []


SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE)\b")
DATABASE_TIME = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(|"
    r"\b(current_timestamp|current_date|localtimestamp|localtime)\b",
    re.I,
)


def sql_strings(name: str) -> list[tuple[int, str]]:
    """(line, text) of every string of a Python file that holds SQL."""
    documentation = docstrings(parsed(name)) if SQL.search(text(name)) else set()
    return [
        (node.lineno, node.value)
        for node in nodes(name)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
        and SQL.search(node.value)
    ]


def test_sql_never_asks_the_database_for_the_time() -> None:
    found = [f"{name}:{line}" for name in CODE for line, sql in sql_strings(name) if DATABASE_TIME.search(sql)]
    for name in files():
        if name.endswith(".sql"):
            code = [re.sub(r"--.*", "", line) for line in text(name).splitlines()]
            found += places(name, [number for number, line in enumerate(code, 1) if DATABASE_TIME.search(line)])
    assert found == []


def test_all_sql_of_a_plugin_is_in_its_store() -> None:
    outside = [name for name in sources("plugins") if not re.search(r"/store(/\w+)?\.py$|/\w*store\w*\.py$", name)]
    assert [f"{name}:{line}" for name in outside for line, _ in sql_strings(name)] == []


def test_no_sql_statement_is_written_twice() -> None:
    seen: dict[str, str] = {}
    twice: list[str] = []
    for name in CODE:
        for line, sql in sql_strings(name):
            words = " ".join(sql.split())
            if len(words) > 40 and words in seen:
                twice.append(f"{name}:{line} repeats {seen[words]}")
            seen.setdefault(words, f"{name}:{line}")
    assert twice == []


MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")


def test_nothing_is_left_to_do_in_a_comment() -> None:
    assert offending_lines(MARKS) == []


ADDRESS = re.compile(r"--(extra-)?index-url\s+\S*:|--find-links\s|PIP_INDEX_URL=|https?://\S+/simple\b")
MACHINE = re.compile(r"(?<![\w.$}/~-])/(work|root|home|Users|mnt|opt/\w+/venv)/[\w.]")
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abprs]-[\w-]{10,}|"
    r"\bsk_live_\w{10,}|\bAIza[\w-]{35}\b|\beyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}"
)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [(ADDRESS, "address of a package index"), (MACHINE, "path of one machine"), (SECRET, "secret")],
    ids=["index address", "machine path", "secret"],
)
def test_no_file_names_what_belongs_to_one_place(pattern: re.Pattern[str], what: str) -> None:
    assert offending_lines(pattern, but=("tests/house/test_structure.py",)) == [], what


def test_the_pinned_requirements_hold_hashes_and_no_addresses() -> None:
    lock = text("requirements.lock")
    assert not re.search(r"://|^-|\s@\s", lock, re.M)
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", lock, flags=re.M).strip())
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


EXCUSE = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no\s+cover)(?P<rest>.*)")
CODES = re.compile(r"^\s*(:\s*[A-Z]+\d+(\s*,\s*[A-Z]+\d+)*|\[[\w, -]+\])?")


def test_every_silenced_check_names_the_check_and_the_reason() -> None:
    """The reason stands on the line, or once a file in a comment that says "noqa marks"."""
    found: list[str] = []
    for name in (*CODE, *TESTS):
        for number, line in enumerate(text(name).splitlines(), 1):
            for match in EXCUSE.finditer(line) if name != "tests/house/test_structure.py" else ():
                codes = CODES.match(match["rest"])
                assert codes is not None
                reason = match["rest"][codes.end() :]
                explained = len(reason.strip(" #-:")) >= 6 or "noqa marks" in text(name)
                if not codes[0].strip() or not explained:
                    found.append(f"{name}:{number}")
    assert found == []


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_no_test_is_skipped_without_a_reason() -> None:
    found: list[str] = []
    for name in TESTS:
        for node in nodes(name):
            if isinstance(node, ast.Call) and called(node) in {"skip", "skipif", "xfail", "importorskip"}:
                given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                given += node.args if called(node) in {"skip", "xfail"} else []
                if not given:
                    found.append(f"{name}:{node.lineno}")
            if not isinstance(node, ast.Attribute) or node.attr not in {"skip", "xfail"}:
                continue
            if ast.unparse(node) in {"pytest.mark.skip", "pytest.mark.xfail"}:
                calls = [part.func for part in nodes(name) if isinstance(part, ast.Call)]
                found += [f"{name}:{node.lineno}"] * (node not in calls)
    assert found == []


def test_tests_wait_for_conditions_and_never_for_time_alone() -> None:
    """A sleep belongs to a loop that looks for a condition, yields to other tasks (0 s), or has its reason beside it."""
    found: list[str] = []
    for name in TESTS:
        for node, ancestors in with_ancestors(parsed(name)) if "sleep" in text(name) else ():
            if isinstance(node, ast.Call) and called(node) == "sleep":
                looks = any(isinstance(ancestor, ast.While | ast.For | ast.AsyncFor) for ancestor in ancestors)
                nothing = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
                explained = "#" in text(name).splitlines()[node.lineno - 1]
                if not looks and not nothing and not explained:
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_every_test_name_is_a_sentence() -> None:
    found: list[str] = []
    for name in TESTS:
        for node in nodes(name):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_") and len(node.name.split("_")) < 4:
                found.append(f"{name}:{node.lineno} {node.name}")
    assert found == []


def test_the_environment_is_read_in_one_place() -> None:
    """Configuration is parsed once; tests of drivers and the code generator run outside of a configured platform."""
    allowed = {"acme/config.py", "acme/codegen.py"}
    found: list[str] = []
    for name in CODE:
        if name in allowed or name.startswith(("acme/cli/", "acme/testing/")):
            continue
        for node in nodes(name):
            if not isinstance(node, ast.Attribute) or node.attr not in {"environ", "getenv", "environb"}:
                continue
            if ast.unparse(node) in {"os.environ", "os.getenv", "os.environb"}:
                found.append(f"{name}:{node.lineno}")
    assert found == []


def test_generated_files_say_that_they_are() -> None:
    unmarked = [
        name
        for name in files()
        if name.startswith(GENERATED) and name.endswith(".py") and text(name).strip() and "enerated" not in text(name)
    ]
    assert unmarked == []

"""What is told of what was found."""

from __future__ import annotations

from acme_audit.verify.report import Report, Status

from tests.audits import LOG


def test_nothing_wrong_is_ok() -> None:
    report = Report(logs=1, records=1000)
    assert (report.status, report.plain()["exit"]) == (Status.OK, 0)
    assert report.lines() == ["ok: 1 logs, 1,000 records, 0 checkpoints, 0 archived files in 0.0 s"]


def test_the_worst_decides_and_comes_first() -> None:
    report = Report()
    for status, kind in ((Status.UNANCHORED, "anchor"), (Status.INCOMPLETE, "gap"), (Status.TAMPERED, "bytes")):
        report.add(status, kind, LOG, 7, "it is not")
        assert report.status is status
    assert [fault.kind for fault in report.faults] == ["bytes", "gap", "anchor"]
    assert report.lines()[0] == f"tampered    {LOG} record 7 bytes: it is not"


def test_of_several_alike_the_first_is_told_and_the_others_are_counted() -> None:
    report = Report()
    for sequence in (5, 6, 7):
        report.add(Status.TAMPERED, "bytes", LOG, sequence, f"it is {sequence}")
    report.add(Status.TAMPERED, "bytes", "other", None, "it is another")
    assert report.lines()[0] == f"tampered    {LOG} record 5 bytes: it is 5 (and 2 more)"
    said = report.plain()
    assert (said["status"], said["exit"]) == ("tampered", 1)
    assert said["faults"][0] == {
        "status": "tampered",
        "kind": "bytes",
        "log": LOG,
        "sequence": 5,
        "text": "it is 5",
        "count": 3,
    }
    assert (said["faults"][1]["sequence"], said["faults"][1]["count"]) == (None, 1)

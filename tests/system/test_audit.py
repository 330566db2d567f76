"""The audit log of a real platform, from the request to `acme audit verify`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from acme.testing.people import principal_of
from tests.system.running import ACME, Person, Platform, connect, platform, wait_for


def audit(one: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`acme audit …` on a platform's data folder, whether it runs or not."""
    command = [ACME, "audit", *arguments, "--data", str(one.data)]
    return subprocess.run(command, cwd=one.folder, env=one.environ, capture_output=True, text=True, timeout=60)


def verified(one: Platform, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of `acme audit verify`."""
    done = audit(one, "verify", "--json", *arguments)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def records(one: Platform, ada: Person) -> list[dict[str, Any]]:
    """The records of ada's organisation, oldest first."""
    organization = principal_of(ada.token).organization
    reply = one.call("GET", f"/v1/organizations/{organization}/auditRecords?page_size=1000", token=ada.token)
    assert reply.status == 200, reply.body
    return [kept["record"] for kept in reversed(reply.json["records"])]


def actions(one: Platform, ada: Person) -> list[str]:
    return [record["action"].rpartition("/")[2] for record in records(one, ada)]


async def test_what_people_do_is_recorded_signed_and_verified_and_tampering_is_found(tmp_path: Path) -> None:
    with platform(tmp_path) as one:
        ada = one.join("ada@example.com")
        project = one.project(ada, "Atlas")
        wait_for("the record of the project", lambda: "CreateProject" in actions(one, ada), limit=30)
        made = next(record for record in records(one, ada) if record["action"].endswith("CreateProject"))
        assert made["actor"]["id"] == principal_of(ada.token).id
        assert project["id"] in [target["id"] for target in made["targets"]]
        assert made["address"] == "127.0.0.1"
        wait_for("the record of reading", lambda: "ListAuditRecords" in actions(one, ada), limit=30)
        assert verified(one, "--offline")[0] == 3  # nothing outside of the database was looked at
        assert one.stop() == 0

        one.start()  # which signs what has come since
        path = f"/v1/organizations/{principal_of(ada.token).organization}/auditCheckpoint"
        ada = one.log_in("ada@example.com")
        wait_for("a checkpoint", lambda: one.call("GET", path, token=ada.token).status == 200, limit=30)
        wait_for("all logs to be archived", lambda: verified(one)[0] == 0, limit=30, every=1.0)
        assert audit(one, "erase", principal_of(ada.token).id).returncode == 0
        assert {
            record.get("address", "") for record in records(one, ada) if record["actor"]["id"] == made["actor"]["id"]
        } == {""}

        database = await connect(one, "audit")
        try:
            await database.execute("SET session_replication_role = replica")
            await database.execute(
                "UPDATE records SET canonical = set_byte(canonical, 100, get_byte(canonical, 100) # 1) WHERE id = $1",
                made["id"],
            )
        finally:
            await database.close()
        status, report = verified(one)
        assert (status, report["status"]) == (1, "tampered")
        sequences = [fault["sequence"] for fault in report["faults"] if fault["kind"] == "bytes"]
        assert len(sequences) == 1
        assert one.stop() == 0
        assert verified(one)[1]["faults"][0] == report["faults"][0]  # where nothing runs, too

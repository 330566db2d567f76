"""Calls between services: whoever holds a contract calls it, and only this package knows what carries the call.

    directory.host(Host(service, instance, plugin="projects", work=units), placement="local")
    projects = directory.named("gateway").client(ProjectsStub)
    project = await projects.get_project(GetProjectRequest(id="prj_…"))

Every placement is one pipeline in two halves, and a placement is only what lies between them:

    the caller's half, calls.py      refuse inside a unit of work · derive the callee's Call · deadline, timer if tighter
             at the edge            the gateway makes the Call itself, and sends it in at an Entry (directory.py)
    between, local.py                a compiled copy, with the wire's rules; of a reply that is read alone, and rendered at
                                     the edge, its text
             loopback.py             bytes of the wire and of the status, in memory: what tests run in by default
             remote.py ⇢ server.py   another process, over gRPC
             socketed.py             the same within one process, for tests
    the callee's half, status.py     metrics, and the table of errors: whatever happens, a status or a cancellation
                       serve.py      internal callers · token · message · rules · unit of work around the handler in a
                                     context of its own · decided? · reply

- A message means what the wire carries: both sides have a copy of their own, or text that was made of it, and what the wire
  could not carry is refused. Of an error, code, reason, message, faults and `retry_after` cross; never an exception, its
  class or frames.
- `Unavailable(reason="unreachable")` means that the callee was not reached, and comes from a placement alone: a service
  that raises it itself, or passes it on, is heard as "unavailable".
- The callee runs in a fresh `contextvars.Context`, driven step by step (drive.py) instead of as a Task: cancelling the
  request cancels the statement it waits for, through any number of calls.
- Deadlines shrink and never grow. The edge arms one timer a request; another is armed only for a tighter timeout, and
  where there is no request, as in a job.
- Streams go the same way (streams.py, messages.py), and are pulled: a handler gets no further than whoever reads its
  replies, and takes its requests as it wants them. Nothing lies between them in one process; between processes it is what
  HTTP/2's windows hold, 256 KiB a stream (inbox.py). Whoever stops reading ends the handler; a stream that breaks off in the
  middle ends in an error, never silently. Streaming methods are WORK_NONE or WORK_MANUAL.

Between processes
-----------------
    remote.py     a target: its addresses, which of them gets a call, what may be sent again (again.py)
    outliers.py   which address fails where others do not
    place.py      one address over time: connected, silent, failing, connected again; what it serves (describe.py)
    dialed.py ⇢ accepted.py         the two ends of a connection: gRPC's exchanges over HTTP/2 (http2.py, headers.py)
    conversation.py                 a call that streams: requests out, replies in (inbox.py)
    server.py     requests → calls, by what is proved of who calls (identity.py); answers (replies.py); health.py

- `Unavailable(reason="outcome_unknown")` means that the callee may have done it: the way failed, or the answer was none.
  Like "unreachable" and "contract_mismatch" it comes from a placement alone. No transport failure is anything else.
- A user's token goes along and is verified again; services prove who they are with the deployment's master key.
"""

from acme.dispatch.directory import Directory, Placement
from acme.dispatch.remote import Remote
from acme.dispatch.serve import Host, Pipeline
from acme.dispatch.server import Server

__all__ = ["Directory", "Host", "Pipeline", "Placement", "Remote", "Server"]

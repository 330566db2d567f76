"""TLS: who this platform is to the world, and its processes to each other. Contexts are made here and handed down.

- `mtls.py`: between processes, `[mtls]`. One certificate a process, for both ends.
- `edge.py`: of the gateway, `[gateway.tls]`. Several certificates: the name a client asks for chooses one.
- `refusals.py`: whom it refuses.
- `local.py`: an authority of this machine's own, for `acme up --tls`.
- `contexts.py`, `files.py`: what they share: contexts that outlive their certificates, and the reading of PEM files.

Files are read again when they change, `LOOK_EVERY` seconds after that at most: connections that stand go on, every new
handshake has the new ones. Files that do not fit together are told and not used, and the former ones stay.
"""

from acme.runtime.tls.edge import EdgeCertificates
from acme.runtime.tls.mtls import LOOK_EVERY, Certificates

__all__ = ["LOOK_EVERY", "Certificates", "EdgeCertificates"]

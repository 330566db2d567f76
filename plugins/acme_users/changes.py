"""What updates of all resources have in common: the mask, the version, and the page to show."""

from __future__ import annotations

from collections.abc import Iterable

from acme import Fault, Invalid, Stale
from acme.contracts.google.protobuf import FieldMask


def named(mask: FieldMask | None, mutable: tuple[str, ...]) -> Iterable[str]:
    """The fields that an update sets; without a mask all that can be.

    Raises:
        Invalid: the mask names a field that nobody can set.
    """
    if mask is None:
        return mutable
    if unknown := sorted(set(mask.paths).difference(mutable)):
        faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
        raise Invalid(f"An update may name {', '.join(mutable)}.", faults=faults)
    return mask.paths


def expect(wanted: int | None, version: int, what: str) -> None:
    """Returns when the caller named no version, or the present one.

    Raises:
        Stale: another version.
    """
    if wanted is not None and wanted != version:
        message = f"The {what} has version {version} now: read it again, then repeat your change."
        raise Stale(message, reason="version_mismatch")

"""What contracts say of permissions: who has them by role, and which of them only read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from acme.contract.model import Method, Service, Work


def least_roles(services: Iterable[Service]) -> Mapping[str, str]:
    """Permission → the least built-in role that includes it. Methods that share a permission agree (`validate`)."""
    return {method.permission: method.role for service in services for method in service.methods if method.permission}


def reading(services: Iterable[Service]) -> frozenset[str]:
    """Permissions of which every method only reads: those that a token with the scope "read" covers.

    A method reads when its routes are GETs, or when it says that it writes nothing and may be repeated, as one does that
    takes what it looks for in a body.
    """
    methods = [method for service in services for method in service.methods if method.permission]
    writing = {method.permission for method in methods if not _reads(method)}
    return frozenset(method.permission for method in methods) - writing


def _reads(method: Method) -> bool:
    gets = bool(method.routes) and all(route.verb == "GET" for route in method.routes)
    return gets or (method.work is Work.NONE and method.idempotent)

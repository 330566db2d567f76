"""Reads compiled contracts, ours and any plugin's by one loader, and says what they say as frozen data.

    contracts = load("acme.contracts", "weather.contracts")
    contracts.services["acme.projects.v1.Projects"].methods[0].permission

Everything derived from a contract starts here: routes, OpenAPI, permissions, codecs, validation, dispatch.

- `model.py`: the data: Service, Method, Route, Message, Field, Rules, Event.
- `load.py`: descriptor sets → a pool of their own → that data, with the generated classes and the comments.
- `validate.py`: what a contract must keep to beyond protobuf. Run by `acme/codegen.py`, so that a method without
  permission, `public` or `internal` fails the build, and again at every start, because a plugin may be anybody's.
- `changes.py`: what breaks those who rely on a contract as it was released.
"""

from acme.contract.load import Contracts, load, package_of
from acme.contract.model import (
    EVERYBODY,
    HTTP_BODY,
    ROLES,
    Audit,
    Cache,
    Choice,
    Choices,
    Event,
    Field,
    Format,
    Kind,
    Message,
    Method,
    Route,
    Rules,
    Service,
    Work,
    raw_body,
)
from acme.contract.permissions import least_roles, reading
from acme.contract.validate import LONGEST_KEPT, MOST_COST, MOST_SECONDS, ContractError

__all__ = [
    "EVERYBODY",
    "HTTP_BODY",
    "LONGEST_KEPT",
    "MOST_COST",
    "MOST_SECONDS",
    "ROLES",
    "Audit",
    "Cache",
    "Choice",
    "Choices",
    "ContractError",
    "Contracts",
    "Event",
    "Field",
    "Format",
    "Kind",
    "Message",
    "Method",
    "Route",
    "Rules",
    "Service",
    "Work",
    "least_roles",
    "load",
    "package_of",
    "raw_body",
    "reading",
]

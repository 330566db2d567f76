"""All SQL of the projects service, one class for the tables of each concern.

Who may see or change a project is part of every statement (`access.py`): one that is not the caller's is not found, and
nothing tells it from one that does not exist. Whoever changes a project, its members or its transfer locks the project
first, in a statement of its own, and decides in the next: what the others did while it waited is seen.
"""

from acme_projects.store.conditions import FIELDS, ORDERS
from acme_projects.store.lists import Listed, ListStore, Wanted
from acme_projects.store.members import Departure, MemberStore, Page
from acme_projects.store.projects import COLUMNS, ProjectStore, Standing
from acme_projects.store.settings import SettingsStore
from acme_projects.store.transfers import Offer, Offered, TransferStore

__all__ = [
    "COLUMNS",
    "FIELDS",
    "ORDERS",
    "Departure",
    "ListStore",
    "Listed",
    "MemberStore",
    "Offer",
    "Offered",
    "Page",
    "ProjectStore",
    "SettingsStore",
    "Standing",
    "TransferStore",
    "Wanted",
]

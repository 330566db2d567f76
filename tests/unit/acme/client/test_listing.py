"""A list is read a page at a time, when a page is needed."""

from __future__ import annotations

from acme.client.listing import Listing
from acme.contracts.projects.v1 import ListProjectsReply, Project


class Pages:
    """Three pages of two."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, token: str) -> ListProjectsReply:
        self.asked.append(token)
        number = int(token or 0)
        return ListProjectsReply(
            projects=[Project(id=f"{number}a"), Project(id=f"{number}b")],
            next_page_token=str(number + 1) if number < 2 else "",
        )


async def test_items_come_from_all_pages_in_order() -> None:
    pages = Pages()
    listing: Listing[ListProjectsReply, Project] = Listing(pages, "projects")
    assert [project.id async for project in listing] == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert pages.asked == ["", "1", "2"]


async def test_who_stops_early_reads_no_further_page() -> None:
    pages = Pages()
    listing: Listing[ListProjectsReply, Project] = Listing(pages, "projects")
    async for project in listing:
        if project.id == "0b":
            break
    assert pages.asked == [""]


async def test_a_list_can_be_read_twice_and_by_page() -> None:
    pages = Pages()
    listing: Listing[ListProjectsReply, Project] = Listing(pages, "projects")
    assert [len(page.projects) async for page in listing.pages()] == [2, 2, 2]
    assert (await listing.page()).next_page_token == "1"
    assert pages.asked == ["", "1", "2", ""]

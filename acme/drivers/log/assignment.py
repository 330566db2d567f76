"""Who of a group reads which partition: evenly, and with as few moves as that takes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def assign(
    members: Mapping[str, Collection[str]], places: Mapping[int, str], former: Mapping[int, str | None]
) -> dict[int, str | None]:
    """The member that is to read each partition, None where nobody reads its topic.

    `members`: the topics that each wants; `places`: the topic of each partition; `former`: who read it so far. A partition
    stays where it is unless its reader has two more than another that wants it too. So when all want the same topics, the
    numbers differ by one at most and no partition moves that need not; otherwise it is good, and not always the best. The
    same input gives the same output, and an assignment made here is left as it is.
    """
    wants = {name: frozenset(topics) for name, topics in sorted(members.items())}
    held: dict[str, list[int]] = {name: [] for name in wants}
    target: dict[int, str | None] = {}
    homeless: list[int] = []
    for place in sorted(places):
        name = former.get(place)
        if name is not None and name in wants and places[place] in wants[name]:
            target[place] = name
            held[name].append(place)
        else:
            homeless.append(place)
    for place in homeless:
        readers = [name for name, topics in wants.items() if places[place] in topics]
        target[place] = name = min(readers, key=lambda one: len(held[one]), default=None)
        if name is not None:
            held[name].append(place)
    while (move := _unfair(wants, places, held)) is not None:
        place, giver, taker = move
        held[giver].remove(place)
        held[taker].append(place)
        target[place] = taker
    return target


def _unfair(
    wants: Mapping[str, frozenset[str]], places: Mapping[int, str], held: Mapping[str, list[int]]
) -> tuple[int, str, str] | None:
    """A partition that should move: from whom has the most to whom has the fewest of those who want it."""
    for giver in sorted(held, key=lambda name: -len(held[name])):
        for taker in sorted(held, key=lambda name: len(held[name])):
            if len(held[giver]) < len(held[taker]) + 2:
                break
            for place in reversed(held[giver]):
                if places[place] in wants[taker]:
                    return place, giver, taker
    return None

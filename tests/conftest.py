"""What takes longest begins first, so that nobody waits for it alone in the end."""

import pytest

LONGEST = ("stack", "chaos", "browser", "attacks", "simulation", "infrastructure", "days", "torture", "properties")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order folders by how long they take; within them nothing changes."""
    place = {name: position for position, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))

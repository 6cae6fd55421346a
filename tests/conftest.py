"""What all tests share: one torch thread, hypothesis without deadlines, one Ray instance."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("thaw", deadline=None, database=None, print_blob=True)
settings.load_profile("thaw")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the shared Ray, so that `-m "not ray"` leaves it out."""
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is noted and decoded out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THAW_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Start Ray once for all tests that search; `thaw.search` uses what is there."""
    from thaw.cluster import connected

    with connected(None):
        yield

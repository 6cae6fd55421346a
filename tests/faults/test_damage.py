"""Files of a store that are cut off or flipped: found, trained again, the same result."""

from pathlib import Path
from random import Random

import pytest

from tests.thaw.test_schedulers import run, untimed

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def damage(store: Path, random: Random) -> list[Path]:
    """Truncate or flip a bit of every third file, and return them."""
    files = sorted(path for path in store.glob("*/*/*") if path.is_file())
    chosen = random.sample(files, len(files) // 3)
    for path in chosen:
        data = bytearray(path.read_bytes())
        place = random.randrange(len(data))
        if random.random() < 0.5:
            data = data[:place]
        else:
            data[place] ^= 1 << random.randrange(8)
        path.write_bytes(data)
    return chosen


def values(folder: Path) -> list[dict[str, str]]:
    left_out = ("segments_trained", "segments_reused")
    return [{k: v for k, v in row.items() if k not in left_out} for row in untimed(folder)]


def test_a_damaged_store_gives_the_same_table(tmp_path: Path) -> None:
    run(tmp_path, scheduler="none")
    before = values(tmp_path)
    random = Random(0)
    damaged = damage(tmp_path / "store", random)
    (tmp_path / "out").rename(tmp_path / "before")
    table = run(tmp_path, scheduler="none")
    assert values(tmp_path) == before
    records = sum(path.name == "record.json" for path in damaged)
    trained = sum(row.segments_trained for row in table.rows.values())
    assert records <= trained, "what had no whole record was trained again"

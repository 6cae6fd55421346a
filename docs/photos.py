"""Photographs a finished search in a headless Chromium: python -m docs.photos RESULTS.

Writes `docs/compare_timeseries.png`, `docs/compare_hparams.png` (what `thaw compare` makes, in
TensorBoard), `docs/trial_images.png` (the confusion matrices of a trial there), and
`docs/report_unfreeze.png`.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from analysis.files import write_report
from analysis.logs import read_logs
from analysis.tensorboard import write_tensorboard
from tests.analysis.browser import Browser
from thaw.unfreeze import UNFREEZE

DOCS = Path(__file__).parent
FILTER = """(() => {
  const enter = (where, text) => {
    const input = document.querySelector(where);
    input.value = text;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
  };
  enter('metrics-tag-filter input', '^(train|val)_(accuracy|loss)$');
  enter('.scalars-smoothing input.slider-input', '0');
})()"""


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Serve a folder; give the address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder.name, "--port", "0"]
    options = ["--host", "localhost", "--load_fast", "false"]
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, cwd=folder.parent
    ) as board:  # the page shows the path as it was given
        try:
            assert board.stderr is not None
            found = (re.search(r"http://\S+", line) for line in board.stderr)
            yield next(match[0] for match in found if match)
        finally:
            board.terminate()


def main(results: Path) -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        logs = read_logs([results])
        write_tensorboard(logs, folder / "compared")
        document = UNFREEZE.make(logs, UNFREEZE.options(), date.today())
        write_report(document, folder / "report")
        with tensorboard(folder / "compared") as url, Browser(folder / "a", 1400, 960) as browser:
            browser.open(f"{url}#timeseries")
            browser.wait("document.querySelectorAll('card-view line-chart').length >= 2")
            browser.value(FILTER)
            browser.shows("train_accuracy", "0000", "0001")
            browser.settle(6)
            browser.photograph(DOCS / "compare_timeseries.png")
            browser.open(f"{url}#hparams")
            browser.shows("Trial ID", "best/val_accuracy")
            browser.settle()
            browser.photograph(DOCS / "compare_hparams.png")
        trial = next(iter(sorted(results.glob("*/events.out.tfevents.*.images")))).parent
        with tensorboard(trial) as url, Browser(folder / "b", 1400, 960) as browser:
            browser.open(f"{url}#images")
            browser.shows("confusion")
            browser.settle()
            browser.photograph(DOCS / "trial_images.png")
        with Browser(folder / "c", 1200, 1500) as browser:
            browser.open((folder / "report/report.html").as_uri())
            browser.wait("document.querySelectorAll('.plot .main-svg').length > 0")
            browser.settle()
            browser.photograph(DOCS / "report_unfreeze.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

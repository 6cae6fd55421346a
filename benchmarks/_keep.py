"""Figures of full runs that are kept in the repository, with what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def keep(name: str, figures: Mapping[str, float], *, device: str | None = None) -> Path:
    """Write `figures` of the benchmark `name` with hardware, versions and date; return the file.

    `device` is where it trained, `cpu` or `cuda`: where there is a GPU, by default there.

    One file for each benchmark and device, `NAME-cpu.json` or `NAME-nvidia-h200.json`: the last
    run stays. It names no host and no path.
    """
    gpu = None if device == "cpu" else device_name()
    path = RESULTS / f"{name}-{_slug(gpu or 'cpu')}.json"
    path.parent.mkdir(exist_ok=True)
    body = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)),
            "torch_threads": torch.get_num_threads(),
            "gpu": gpu,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "timm": version("timm"),
            "cuda": torch.version.cuda if gpu else None,
        },
        "figures": {figure: round(value, 6) for figure, value in figures.items()},
    }
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return path


def device_name() -> str | None:
    """Return the name of the GPU, or None where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cpu_name() -> str:
    """Return the model of the CPU."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

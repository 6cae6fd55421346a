"""All randomness comes from here: generators seeded by (seed, segment index, purpose, rank)."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, index: int, purpose: str, rank: int = 0) -> int:
    """Return a 63-bit seed; independent for every combination of the arguments."""
    text = f"{seed}/{index}/{purpose}/{rank}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, index: int, purpose: str, device: str = "cpu") -> torch.Generator:
    """Return a fresh generator on `device`, the same on every rank."""
    return torch.Generator(device=device).manual_seed(derive(seed, index, purpose))

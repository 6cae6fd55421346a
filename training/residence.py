"""Where uint8 examples are held: on the device where they fit, else on the host.

From the host the examples of each step are sent one batch ahead of it, while the device computes.
Both ways give the same bytes, so that nothing of this is part of the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple
from weakref import ref

import torch
from torch import Tensor

from training.device_share import device_share

Expect = Callable[[Tensor | None], None]
"""Told the examples of the batch after the next, (B,) int64 on the host; None where there are no
more. What it was told before is then the next batch."""


_held: list[ref[Tensor]] = []
"""What this process has moved to a device."""


class OnHost(Exception):
    """A step that is being recorded wants examples which are not on the device."""


class _Batch(NamedTuple):
    names: Tensor  # (B,) int64, sorted
    pixels: Tensor  # (B, ...) uint8, of the same order
    sent: torch.cuda.Event | None


class Feed:
    """Examples that stay on the host, (N, ...) uint8, and are sent to a device as they are needed.

    Between two calls of `turn`, `take` finds examples of one batch on the device and waits for
    nothing. Outside of that, any are brought at once, for which it waits.
    """

    def __init__(self, pixels: Tensor, device: str) -> None:
        """Take examples out of `pixels`, for `device`."""
        self._pixels = pixels
        self._device = torch.device(device)
        self._side: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._device = torch.device("cuda", torch.cuda.current_device())
            self._side = torch.cuda.Stream(self._device)
        self._coming: Future[_Batch] | None = None
        self._here: _Batch | None = None

    def turn(self, coming: Tensor | None) -> None:
        """Go on to the batch that was named last, and begin to send `coming`; see `Expect`."""
        sent, self._coming, self._here = self._coming, None, None  # also where sending has failed
        if sent is not None:
            self._here = self._arrived(sent.result())
        self._coming = None if coming is None else _thread().submit(self._send, coming)

    def take(self, chosen: Tensor) -> Tensor:
        """Return the examples `chosen`, (B,) int64, as (B, ...) uint8 on the device of `chosen`.

        Raises `OnHost` in a step that is being recorded: a replay would take the same ones again.
        """
        if is_recording(self._device.type):
            raise OnHost
        if self._here is None:
            return self._pixels[chosen.to(self._pixels.device)].to(chosen.device)
        return self._here.pixels[torch.searchsorted(self._here.names, chosen)]

    def _send(self, chosen: Tensor) -> _Batch:
        """Gather a batch and send it beside what the device does; runs in a thread."""
        names = chosen.sort().values
        pixels = self._pixels[names]
        if self._side is None:
            return _Batch(names, pixels, None)
        with torch.cuda.stream(self._side):
            there = [
                part.pin_memory().to(self._device, non_blocking=True) for part in (names, pixels)
            ]
            return _Batch(there[0], there[1], self._side.record_event())

    def _arrived(self, batch: _Batch) -> _Batch:
        """Let the device, not this process, wait until the batch is there."""
        if batch.sent is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(batch.sent)
            batch.names.record_stream(stream)
            batch.pixels.record_stream(stream)
        return batch


def settle(pixels: Tensor, device: str) -> tuple[Tensor, Feed | None]:
    """Return `pixels` on `device` where they fit; else on the host, with what sends them there.

    Raises `UserError` where the share of memory in the environment is none.
    """
    if pixels.device.type == device and device_share() > 0:
        return pixels, None
    if fits(pixels.nbytes, device):
        moved = pixels.to(device)
        _held.append(ref(moved))
        return moved, None
    on_host = pixels.cpu()
    return on_host, Feed(on_host, device)


def batches(order: Tensor, size: int, device: str, expect: Expect | None) -> Iterator[Tensor]:
    """Yield the examples of `order`, (num,) int64 on the host, in batches of `size` on `device`.

    `expect`, where there is one, is told of each batch before the one ahead of it is yielded.
    """
    there = order.to(device, non_blocking=True).split(size)
    if expect is None:
        yield from there
        return
    first, *others = order.split(size)
    expect(first)
    try:
        for batch, coming in zip(there, [*others, None], strict=True):
            expect(coming)
            yield batch
    finally:  # the one that was coming, where this ends early, must not be taken for the present
        expect(None)
        expect(None)


def fits(num_bytes: int, device: str) -> bool:
    """Tell whether so much data may be held on `device`; where it is the CPU, any that there is."""
    share = device_share()
    if device != "cuda" or not share:
        return share > 0
    held = sum(
        pixels.nbytes for there in _held if (pixels := there()) is not None and pixels.is_cuda
    )
    return held + num_bytes <= share * (held + torch.cuda.mem_get_info()[0])


def is_recording(device: str) -> bool:
    """Tell whether what is done now is recorded as a CUDA graph."""
    return device == "cuda" and torch.cuda.is_current_stream_capturing()


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    """Return the one thread of this process that gathers and sends."""
    return ThreadPoolExecutor(1, "thaw-feed")

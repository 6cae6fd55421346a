"""The training loops that people write: with torchvision, and with timm, over a folder of JPEGs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks._systems import autocast, compiled
from benchmarks.core_overhead import Side
from training.settings import Settings

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Loader = Iterable[tuple[Tensor, Tensor]]


def torchvision_side(name: str, size: int, folder: Path, settings: Settings) -> Side:
    """Return a plain loop: ImageFolder, transforms, DataLoader with workers, `loss.item()`."""
    from torchvision import datasets, transforms

    device = settings.place.device
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(_MEAN, _STD),
        ]
    )
    images = datasets.ImageFolder(str(folder / "train"), transform)
    loader: Loader = DataLoader(
        images,
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=_workers(),
        persistent_workers=True,
        pin_memory=device == "cuda",
    )
    model = timm.create_model(name, num_classes=len(images.classes)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    return _side(model, loader, optimizer, nn.CrossEntropyLoss(), settings, read_each=True)


def timm_side(name: str, size: int, folder: Path, settings: Settings) -> Side:
    """Return timm's training step with its data, transforms, loader, loss and optimizer.

    As its `train.py` has them: the prefetcher normalises on a GPU and is off on the CPU; the loss
    is looked at once an epoch.
    """
    from timm import data, loss, optim

    library: Any = SimpleNamespace(data=data, loss=loss, optim=optim)  # types of its own are few
    device = settings.place.device
    images = library.data.ImageDataset(str(folder / "train"))
    loader: Loader = library.data.create_loader(
        images,
        input_size=(3, size, size),
        batch_size=settings.batch_size,
        is_training=True,
        use_prefetcher=device == "cuda",
        hflip=0.5,
        num_workers=_workers(),
        persistent_workers=True,
        pin_memory=device == "cuda",
        device=torch.device(device),
    )
    classes = len(os.listdir(folder / "train"))
    model = timm.create_model(name, num_classes=classes).to(device).train()
    optimizer = library.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=1e-4)
    criterion = library.loss.LabelSmoothingCrossEntropy(0.1)
    return _side(model, loader, optimizer, criterion, settings, read_each=False)


def _side(
    model: nn.Module,
    loader: Loader,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    settings: Settings,
    *,
    read_each: bool,
) -> Side:
    device, compute = settings.place.device, settings.compute
    layout = torch.channels_last if compute.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    forward: Callable[[Tensor], Tensor] = compiled(model, compute)

    def epoch() -> float:
        running, loss = 0.0, torch.zeros(())
        for images, labels in loader:
            images = images.to(device, non_blocking=True, memory_format=layout)
            labels = labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            with autocast(compute, device):
                loss = criterion(forward(images), labels)
            loss.backward()
            optimizer.step()
            if read_each:
                running += loss.item()
        return running or loss.item()

    return Side(epoch, model)


def _workers() -> int:
    return min(8, len(os.sched_getaffinity(0)))

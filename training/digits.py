"""Handwritten digits that ship with scikit-learn: 1,797 real images of 8 x 8 pixels.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
The source task is digits 0-4, the target task digits 5-9.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from training.images import Images, LabelledData

_DOMAINS = {"source": range(0, 5), "target": range(5, 10)}
_TRAIN_SHARE = {"source": 0.8, "target": 0.3}


def load_digits(image_size: int) -> dict[str, LabelledData]:
    """Return both tasks, upsampled to `image_size`; the split into train and val is fixed.

    The target task has little to train on (0.3 of it), as transfer learning is meant for.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = torch.from_numpy(bunch.images).float().unsqueeze(1) * (255 / 16)
    pixels = F.interpolate(pixels, size=(image_size, image_size), mode="bilinear")
    labels = torch.from_numpy(bunch.target).long()
    return {
        name: _split(pixels.round().to(torch.uint8), labels, digits, _TRAIN_SHARE[name])
        for name, digits in _DOMAINS.items()
    }


def _split(
    pixels: torch.Tensor, labels: torch.Tensor, digits: range, train_share: float
) -> LabelledData:
    """Split each class by its order in the data set."""
    train, val = [], []
    for digit in digits:
        members = (labels == digit).nonzero().flatten()
        num_train = round(len(members) * train_share)
        train.append(members[:num_train])
        val.append(members[num_train:])
    chosen = [torch.cat(part) for part in (train, val)]
    parts = [Images(pixels[index], labels[index] - digits.start) for index in chosen]
    return LabelledData(parts[0], parts[1], tuple(str(digit) for digit in digits))

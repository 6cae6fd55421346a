"""A mixture of experts over a feature map, with one gate for each image.

Dense and soft: every expert sees every image, so that shapes never hang on the data, no expert is
left without a gradient, and nothing waits for the device. After Jacobs, Jordan, Nowlan, Hinton,
Adaptive mixtures of local experts, Neural Computation 1991.
"""

from __future__ import annotations

from torch import Tensor, nn


class Experts(nn.Module):
    """Adds to a feature map the gated sum of what the experts make of it."""

    def __init__(self, width: int, num: int) -> None:
        """Make `num` experts, each a 3x3 convolution over `width` channels; the gate is even."""
        super().__init__()
        self.num = num
        self.gate = nn.Linear(width, num)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.experts = nn.Sequential(  # side by side in one convolution: one kernel, not `num`
            nn.Conv2d(width, num * width, 3, padding=1, bias=False),
            nn.GroupNorm(num, num * width),
            nn.GELU(),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, C, H, W) features and (B, num) gate weights that sum to 1."""
        gates = self.gate(features.mean((2, 3))).float().softmax(1)
        made = self.experts(features).unflatten(1, (self.num, -1))  # (B, num, C, H, W)
        mixed = (made * gates.to(made.dtype)[:, :, None, None, None]).sum(1)
        return features + mixed, gates

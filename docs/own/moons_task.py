"""File 1, model and data: two half moons, and a small network that tells them apart."""

import hashlib

import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.nn.functional import cross_entropy

from training.config import Config
from training.layers import layers_by_pattern
from training.randomness import derive


class Settings(Config):
    """What a user may set with --set."""

    width: int = 32
    """Neurons of each hidden layer."""
    noise: float = 0.2
    """How much the moons overlap."""


class Moons:
    """A task: models, layer groups, data, loss and metrics (training.task.Task)."""

    name = "moons"

    def __init__(self, config):
        self.config = config
        points, labels = make_moons(600, noise=config.noise, random_state=0)
        self.points, self.labels = torch.tensor(points).float(), torch.tensor(labels)

    def identity(self):
        return self.config.model_dump()

    def fingerprint(self):
        return hashlib.sha256(self.points.cpu().numpy().tobytes()).hexdigest()

    def num_train(self):
        return {"target": 300}

    def class_labels(self, data):
        return self.labels[:300].cpu()

    def layers(self):
        table = {"body": "0|2", "head": "4"}
        return {"model": layers_by_pattern(self._network(), table)}

    def loss_terms(self):
        return {}

    def check(self, stage, where, *, seed, micro_batch):
        pass

    def build(self, seed):
        torch.manual_seed(derive(seed, 0, "weights"))
        return nn.ModuleDict({"model": self._network()})

    def adapt(self, models, data, seed):
        pass

    def draw(self, chosen, settings, generator):
        return torch.empty(len(chosen), 0, device=generator.device)

    def loss(self, forward, chosen, draws, settings):
        logits = forward["model"](self.points[chosen])
        right = (logits.argmax(1) == self.labels[chosen]).sum()
        count = torch.full((), len(chosen), device=right.device)
        return cross_entropy(logits, self.labels[chosen]), {"right": right, "num": count}

    def evaluate(self, models, settings, rank):
        mine = slice(300 + rank, None, settings.place.world_size)
        logits, labels = models["model"](self.points[mine]), self.labels[mine]
        return {
            "loss": cross_entropy(logits, labels, reduction="sum"),
            "right": (logits.argmax(1) == labels).sum(),
            "num": torch.full((), len(labels), device=labels.device),
        }

    def metrics(self, train, val):
        return {
            f"{part}_{name}": sums[total] / sums["num"]
            for part, sums in (("train", train), ("val", val))
            for name, total in (("loss", "loss"), ("accuracy", "right"))
        }

    def to(self, device):
        self.points, self.labels = self.points.to(device), self.labels.to(device)

    def _network(self):
        width = self.config.width
        return nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )

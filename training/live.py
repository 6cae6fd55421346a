"""The live state of a task on its device: models, their optimizers, averaged weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.backbone import Backbone
from training.backbone_modules import BackboneNames
from training.in_place import keep_in_place
from training.modes import set_modes
from training.optimizers import build_optimizer, complete_momentum
from training.randomness import derive
from training.settings import Settings
from training.shape import Shape, put
from training.task import Task

_MOST_GRAPHS = 1024
"""Graphs that torch may make of a model; past that it goes on uncompiled, with other last bits."""


class Live:
    """Models, optimizers and averaged weights, brought into the shape that settings ask for.

    The optimizer of the model that is trained is live; those of the others are parked as plain
    state, so that a later stage may go on with them. `start` makes the state before any training,
    `load` takes a saved one, `prepare` readies either for the next segment, `capture` returns what
    must be saved.
    """

    def __init__(self, task: Task, seed: int, device: str) -> None:
        """Make the state before any training."""
        self._task = task
        self._seed = seed
        self.device = device
        self._layers = task.layers()
        self._shapes: dict[str | None, Shape] = {}
        self._compiled: dict[nn.Module, nn.Module] = {}
        self._splits: dict[tuple[str, int, int | None], int] = {}
        self._averaging: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None
        self._backbones: dict[str, Backbone] = dict(getattr(task, "backbones", dict)())
        self._names = BackboneNames()
        self.start()

    def start(self) -> None:
        """Go back to the state before any training, in the modules that are there.

        They stay the same from trial to trial, and so does the code that was compiled for them.
        """
        self._names.forget()
        built = self._task.build(self._seed)
        if not self._shapes:
            self.models = built.to(self.device)
            keep_in_place(self.models)
            self._shapes[None] = Shape(self.models)
        else:
            self._shapes[None].restore()
            put(built.state_dict(), self.models)
            self.models.zero_grad(set_to_none=True)
        self.optimizer: torch.optim.Optimizer | None = None
        self._parked: dict[str, Any] = {}
        self.averaged: nn.Module | None = None
        self._data: str | None = None
        self._trained: str | None = None

    def load(self, state: dict[str, Any], settings: Settings) -> None:
        """Take over a saved state; `settings` are those of the segment that made it."""
        self._names.forget()
        self._shape(settings.data)
        self.models.load_state_dict(state["models"])
        self._trained = settings.model
        self.optimizer = self._build_optimizer(settings)
        self.optimizer.load_state_dict(state["optimizer"])
        self._parked = state.get("parked", {})
        self.averaged = None
        if state["averaged"] is not None:
            self.averaged = copy.deepcopy(self.models[settings.model]).requires_grad_(False)
            self.averaged.load_state_dict(state["averaged"])

    def prepare(self, settings: Settings) -> None:
        """Make everything ready to train a segment with `settings`."""
        if settings.restart or not settings.compute.cache_features:
            self._names.forget()
        if self._data != settings.data:
            self._shape(settings.data)
            self.averaged = self.optimizer = None
            self._parked = {}
        if settings.restart:
            self._restart(settings)
        if self._trained != settings.model:
            self._park()
            self.averaged = None
        self._trained = settings.model
        self._take_optimizer(settings)
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:  # a kept one may get another within a stage
            group["weight_decay"] = settings.optimizer.weight_decay
        memory = torch.channels_last if settings.compute.channels_last else torch.contiguous_format
        self.models.to(memory_format=memory)
        if settings.ema_decay is None:
            self.averaged = None
        elif self.averaged is None:
            self.averaged = copy.deepcopy(self.models[settings.model]).requires_grad_(False)
        else:
            self.averaged.to(memory_format=memory)  # a loaded one has the order of its file
        self._averaging = None
        self._freeze(settings)
        if self.device == "cuda":
            complete_momentum(self.optimizer)

    def capture(self) -> dict[str, Any]:
        """Return the state as it must be saved."""
        assert self.optimizer is not None
        return {
            "models": self.models.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "parked": self._parked,
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
        }

    def twin(self, shared: Iterable[tuple[torch.Tensor, torch.Tensor]] = ()) -> Live:
        """Return a copy of this live state, in which the second of each pair is the first's.

        What moves a tensor of `shared` moves it for all who have it; all others are copied.
        """
        memo: dict[int, Any] = {id(mine): theirs for mine, theirs in shared}
        twin = copy.copy(self)
        twin.models, twin.averaged, twin.optimizer, twin._parked = copy.deepcopy(
            (self.models, self.averaged, self.optimizer, self._parked), memo
        )
        twin._compiled, twin._shapes, twin._averaging = {}, {}, None
        twin._names = BackboneNames()
        return twin

    def micro_batches(self, settings: Settings) -> int:
        """Return into how many micro-batches a step is split, over all processes.

        As the settings say, but for what memory did not hold: that is remembered, and not in the
        settings, since it changes no result but for rounding.
        """
        split = self._splits.get(_load_of(settings), 1)
        return settings.accumulate * settings.place.world_size * split

    def halve(self, settings: Settings) -> None:
        """Halve the micro-batches of steps like these, and drop the gradients of this one."""
        load = _load_of(settings)
        self._splits[load] = 2 * self._splits.get(load, 1)
        for parameter in self.models.parameters():
            parameter.grad = None
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def forward(self, settings: Settings) -> dict[str, nn.Module]:
        """Return the models as the training step calls them: compiled and wrapped for DDP.

        Where features are kept, the one that trains is its head alone.
        """
        forward = dict(self.models.items())
        if settings.compute.cache_features:
            forward[settings.model] = self.head(forward[settings.model], settings)
        if settings.compute.compile:
            forward = {name: self._compile(model) for name, model in forward.items()}
        if settings.place.world_size > 1:
            trained = forward[settings.model]
            ids = [torch.cuda.current_device()] if self.device == "cuda" else None
            forward[settings.model] = DistributedDataParallel(trained, device_ids=ids)
        return forward

    def evaluated(self, settings: Settings) -> dict[str, nn.Module]:
        """Return the models as they are evaluated: the averaged weights where there are any."""
        models = dict(self.models.items())
        if self.averaged is not None:
            models[settings.model] = self.averaged
        for model in models.values():
            model.eval()
        return models

    def head(self, model: nn.Module, settings: Settings) -> nn.Module:
        """Return the head of the trained model, or of its averaged weights."""
        return model.get_submodule(self._backbones[settings.model].head)

    def backbone_name(self, settings: Settings) -> str:
        """Return the SHA-256 of what the trained model has before its head."""
        name = settings.model
        return self._names.of(name, self.models[name], self._backbones[name])

    def averages_the_head_alone(self, settings: Settings) -> bool:
        """Tell whether the averaged weights, if any, are the trained ones before the head."""
        name = settings.model
        return self.averaged is None or self._names.alike(
            name, self.models[name], self.averaged, self._backbones[name]
        )

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the averaged weights towards the trained ones by one step."""
        if self._averaging is None:  # looked up once a segment: it takes the host milliseconds
            assert self.averaged is not None and self._trained is not None
            self._averaging = _floats(self.averaged), _floats(self.models[self._trained])
        mean, new = self._averaging
        torch._foreach_lerp_(mean, new, 1 - decay)

    def _shape(self, data: str) -> None:
        """Give the models the head of `data`; a head that is new is seeded by the data's name."""
        if self._data != data:
            self._names.forget()
            self._task.adapt(self.models, data, derive(self._seed, 0, f"head {data}"))
            self.models.to(self.device)
            if data in self._shapes:
                values = self.models.state_dict()
                self._shapes[data].restore()
                put(values, self.models)
            else:
                self._shapes[data] = Shape(self.models)
            self._data = data

    def _restart(self, settings: Settings) -> None:
        """Put the model back to how the task builds it, without weights from files if it can."""
        seed = derive(self._seed, settings.index, f"restart {settings.model}")
        fresh: nn.ModuleDict = getattr(self._task, "scratch", self._task.build)(seed)
        self._task.adapt(fresh, settings.data, derive(seed, 0, f"head {settings.data}"))
        self.models[settings.model].load_state_dict(fresh[settings.model].state_dict())
        self.averaged = None

    def _park(self) -> None:
        if self.optimizer is not None and self._trained is not None:
            self._parked[self._trained] = self.optimizer.state_dict()
        self.optimizer = None

    def _take_optimizer(self, settings: Settings) -> None:
        """Start a new optimizer, or go on with the one that the model had."""
        parked = self._parked.pop(settings.model, None)
        if settings.fresh_optimizer or self.optimizer is None:
            self.optimizer = self._build_optimizer(settings)
            if parked is not None and not settings.fresh_optimizer:
                self.optimizer.load_state_dict(parked)

    def _build_optimizer(self, settings: Settings) -> torch.optim.Optimizer:
        model = self.models[settings.model]
        fused = self.device == "cuda"
        return build_optimizer(settings.optimizer, model, self._layers[settings.model], fused=fused)

    def _compile(self, model: nn.Module) -> nn.Module:
        if model not in self._compiled:
            torch._dynamo.config.recompile_limit = _MOST_GRAPHS
            torch._dynamo.config.accumulated_recompile_limit = _MOST_GRAPHS
            compiled: Any = torch.compile(model, dynamic=False)  # what came before changes no bits
            self._compiled[model] = compiled
        return self._compiled[model]

    def _freeze(self, settings: Settings) -> None:
        """Set what has gradients and which layers use batch statistics."""
        self.models.requires_grad_(False).eval()
        model, layers = self.models[settings.model], self._layers[settings.model]
        trainable = frozenset(layer for layer, value in settings.multipliers if value is not None)
        owner = {name: layer for layer, names in layers.items() for name in names}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(owner[name] in trainable)
            parameter.grad = None
        set_modes(model, layers, (settings.batchnorm, trainable))


def _load_of(settings: Settings) -> tuple[str, int, int | None]:
    """Return what decides how much memory a step takes."""
    return settings.model, settings.batch_size, settings.image_size


def _floats(model: nn.Module) -> list[torch.Tensor]:
    return [t for t in model.state_dict().values() if t.is_floating_point()]

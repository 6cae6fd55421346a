"""Cyclic co-training: a super-resolver (DSR) and a recogniser (EdgeFace) in turns.

While one is trained the other is frozen: the recogniser supervises DSR by its embeddings and
features, DSR makes the faces on which the recogniser is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from training import face_losses
from training.checkpoints import checkpoint_data, file_digest, load_weights
from training.cyclic_config import CyclicConfig, create, layer_groups, load_data, shape_of
from training.dsr import DSR, bicubic, shrink
from training.edgeface import VARIANTS, EdgeFace, arcface_loss, published_name
from training.errors import UserError, unknown
from training.generated import Generated
from training.images import NUM_DRAWS, augment
from training.layers import Layers
from training.pulse import beating
from training.randomness import derive
from training.recognition import enrolled, recognise
from training.schedule import Stage
from training.settings import Settings
from training.task import Totals

_CHUNK = 64
TERMS = ("l1", "perceptual", "identity", "feature_match", "total_variation")
"""Terms of DSR's loss; the weight of each is its lambda."""
PROBES = "probes"
"""Name of the table in which held-out identities are counted, in a record with the prefix `val_`:
(probes, recognised after DSR, recognised after bicubic interpolation), in the order of labels."""
_EMBEDDED = {"perceptual", "identity", "feature_match"}


class Cyclic:
    """DSR and EdgeFace over faces; metrics are those of both together on held-out identities."""

    name = "cyclic"

    def __init__(self, config: CyclicConfig) -> None:
        """Read the faces; raise `UserError` where configuration or data do not serve."""
        if config.edgeface not in VARIANTS:
            raise unknown("edgeface", config.edgeface, VARIANTS)
        if config.finetuned and "none" in (config.edgeface_weights, config.dsr_weights):
            raise UserError(
                "finetuned: true needs both starting models: give edgeface_weights and dsr_weights"
            )
        self.config = config
        self._faces = load_data(config)
        self._vgg: face_losses.Perceptual | None = None
        if config.perceptual not in ("none", "edgeface"):
            self._vgg = face_losses.Perceptual(config.perceptual)
        self._generated = Generated()

    def identity(self) -> dict[str, Any]:
        """Return the configuration without paths, and without what the fingerprint stands for."""
        plain = self.config.model_dump(
            include={"resolution", "blocks", "width", "edgeface", "gamma", "far", "cache"}
        )
        return plain | {"perceptual": "vgg" if self._vgg is not None else self.config.perceptual}

    @cached_property
    def data_digest(self) -> str:
        """The SHA-256 of all faces and labels."""
        found = hashlib.sha256()
        for images in (self._faces.train, self._faces.test):
            found.update(images.labels.cpu().numpy().tobytes())
            for chunk in images.pixels.split(1024):
                found.update(chunk.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @cached_property
    def _fingerprint(self) -> str:
        found = hashlib.sha256(self.data_digest.encode())
        files = (self.config.edgeface_weights, self.config.dsr_weights, self.config.perceptual)
        for path in files:
            known = path in ("none", "edgeface")
            found.update((path if known else file_digest(path)).encode())
        return found.hexdigest()

    def fingerprint(self) -> str:
        """Return the SHA-256 of all faces, labels and weights files."""
        return self._fingerprint

    def num_train(self) -> dict[str, int]:
        """Return the number of training faces: sharp ones, and those that DSR upsamples."""
        return dict.fromkeys(("source", "target"), len(self._faces.train))

    def class_labels(self, data: str) -> Tensor | None:
        """Return the identity of each training face, (N,) int64."""
        return self._faces.train.labels.cpu()

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Leave it to `absent_terms`, which every schedule is checked against."""

    def layers(self) -> dict[str, Layers]:
        """Return the layer groups of both models."""
        return {
            model: dict(groups) for model, groups in layer_groups(shape_of(self.config)).items()
        }

    def loss_terms(self) -> dict[str, float]:
        """Return the lambdas of DSR, its dropout, and the three numbers of ArcFace."""
        return {
            "l1": 1.0,
            "perceptual": 0.0,
            "identity": 0.0,
            "feature_match": 0.0,
            "total_variation": 0.0,
            "dropout": 0.0,
            "arcface_scale": 8.0,
            "arcface_margin": 0.1,
            "arcface_temperature": 4.0,
        }

    def absent_terms(self) -> dict[str, str]:
        """Return the perceptual loss where there is nothing to compute it with."""
        if self.config.perceptual != "none":
            return {}
        return {
            "perceptual": "there are no weights for its network; set perceptual to a file with "
            "VGG-16 weights, or to edgeface"
        }

    def build(self, seed: int) -> nn.ModuleDict:
        """Return both models with their starting weights."""
        config, models = self.config, self.scratch(seed)
        if config.dsr_weights != "none":
            self._load_dsr(models["dsr"])
        if config.edgeface_weights != "none":
            load_weights(
                models["edgeface"],
                config.edgeface_weights,
                ignore=("arcface",),
                rename=published_name,
                part="edgeface",
                field="edgeface_weights",
            )
        return models

    def scratch(self, seed: int) -> nn.ModuleDict:
        """Return both models with random weights, whatever files the configuration names."""
        torch.manual_seed(derive(seed, 0, "weights"))
        dsr, edgeface = create(shape_of(self.config))
        return nn.ModuleDict({"dsr": dsr, "edgeface": edgeface})

    def _load_dsr(self, dsr: nn.Module) -> None:
        """Load the user's DSR; raise `UserError` where it must be trained from scratch instead."""
        path, wanted = self.config.dsr_weights, self.config.resolution
        assert isinstance(dsr, DSR)
        load_weights(dsr, path, ignore=(), part="dsr", field="dsr_weights")
        if int(dsr.resolution) != wanted:
            raise UserError(
                f"checkpoint {path}: DSR was trained for faces of {int(dsr.resolution)} px, not of "
                f"{wanted}; allowed: resolution={int(dsr.resolution)}, or dsr_weights=none"
            )
        trained_on = checkpoint_data(path)
        if trained_on and trained_on != self.data_digest and not self.config.other_data:
            raise UserError(
                f"checkpoint {path}: DSR was trained on other faces ({trained_on[:12]}, these are "
                f"{self.data_digest[:12]}); retrain it in full (dsr_weights=none), or go on with "
                "it all the same (other_data=true)"
            )

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Put a fresh ArcFace head on the recogniser."""
        torch.manual_seed(seed)
        edgeface = models["edgeface"]
        assert isinstance(edgeface, EdgeFace)
        edgeface.classify(len(self._faces.identities))

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Return (num, NUM_DRAWS) uniform numbers for the augmentation."""
        return torch.rand(len(chosen), NUM_DRAWS, generator=generator, device=generator.device)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return DSR's weighted loss or ArcFace's, for the model that is trained."""
        count = torch.full((), len(chosen), device=chosen.device)
        weights = dict(settings.loss)
        if settings.model == "dsr":
            truth = augment(self._truth(chosen), draws, settings.augment)
            made = forward["dsr"](self._low(truth), dropout=weights["dropout"])
            wanted = [term for term in TERMS if weights[term]]
            terms = self._terms(made.float(), truth, forward["edgeface"], wanted)
            if not terms:
                raise UserError(f"loss: one of {', '.join(TERMS)} must have a weight above 0")
            loss = torch.stack([weights[n] * value.mean() for n, value in terms.items()]).sum()
            sums = {name: value.detach().sum() for name, value in terms.items()}
            return loss, {"num": count, **sums, **_weighted(sums, weights)}
        sharp = settings.data == "source"
        faces = self._truth(chosen) if sharp else self._made(forward["dsr"], chosen, settings)
        cosines = forward["edgeface"](augment(faces, draws, settings.augment), classify=True)
        loss = arcface_loss(
            cosines.float(),
            self._faces.train.labels[chosen],
            scale=weights["arcface_scale"],
            margin=weights["arcface_margin"],
            temperature=weights["arcface_temperature"],
        )
        return loss, {"num": count}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        """Return totals over all held-out faces: every rank compares all of them, and the same.

        Of the sums over ranks only ratios are used.
        """
        test, weights = self._faces.test, dict(settings.loss)
        names = [name for name in TERMS if name not in self.absent_terms()]
        sums: dict[str, list[Tensor]] = {}
        vectors: dict[str, list[Tensor]] = {"made": [], "truth": [], "bicubic": []}
        for pixels in beating(test.pixels.split(_CHUNK)):
            truth = pixels.to(test.labels.device).float() / 255
            low = self._low(truth)
            made, plain = (x.float().clamp(0, 1) for x in (models["dsr"](low), bicubic(low)))
            found = self._terms(made, truth, models["edgeface"], names, vectors)
            found |= {"psnr": face_losses.psnr(made, truth), "ssim": face_losses.ssim(made, truth)}
            found["bicubic_psnr"] = face_losses.psnr(plain, truth)
            vectors["bicubic"].append(models["edgeface"](plain))
            for name, value in found.items():
                sums.setdefault(name, []).append(value.float())
        totals = {name: torch.cat(values).sum() for name, values in sums.items()}
        totals |= _weighted({name: totals[name] for name in names}, weights)
        totals |= self._recognised({k: torch.cat(v) for k, v in vectors.items()}, weights)
        totals["loss"] = totals["identification"]
        if settings.model == "dsr":
            totals["loss"] = torch.stack([totals[f"{name}_weighted"] for name in names]).sum()
        return totals | {"num": torch.full((), len(test), device=test.labels.device)}

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Return the training loss, and the figures of both models on held-out identities.

        A term of DSR's loss that had no part in training is 0 there: it has no weight, or EdgeFace
        was trained. `val_loss` is the loss of the model that is trained: the weighted sum of DSR's
        terms, or the cross entropy of identification, which is defined for people that nobody was
        trained on.
        """
        names = [name for name in TERMS if name not in self.absent_terms()]
        every = dict.fromkeys([*names, *(f"{name}_weighted" for name in names)], 0.0) | train
        return {
            f"{side}_{name}": total / totals["num"]
            for side, totals in (("train", every), ("val", val))
            for name, total in sorted(totals.items())
            if name != "num"
        }

    def to(self, device: str) -> None:
        """Move all faces, where they fit, and VGG to the device."""
        self._faces.train.to(device)
        self._faces.test.to(device)
        if self._vgg is not None:
            self._vgg.to(device)

    def held_out(self, num_people: int) -> Tensor:
        """Return (num, 3, 112, 112) in [0, 1] on the CPU: the first probe of some held-out people.

        They are spread evenly over all of them; of fewer people all are returned.
        """
        _, probes = enrolled(self._faces.test.labels)
        labels = self._faces.test.labels[probes]
        first = torch.stack([probes[labels == label][0] for label in labels.unique()])
        step = max(1, len(first) // max(1, num_people))
        return self._faces.test.take(first[::step][:num_people]).float().cpu() / 255

    def _truth(self, chosen: Tensor) -> Tensor:
        return self._faces.train.take(chosen).float() / 255

    def _low(self, faces: Tensor) -> Tensor:
        return shrink(faces, self.config.resolution)

    def _made(self, dsr: nn.Module, chosen: Tensor, settings: Settings) -> Tensor:
        """Return what the frozen DSR makes of training faces, in steps of 1/255."""
        if not self.config.cache:
            return self._upsampled(dsr, self._faces.train.take(chosen)).float() / 255
        pixels = self._faces.train.pixels

        def make() -> Tensor:
            chunks = (chunk.to(chosen.device) for chunk in beating(pixels.split(_CHUNK)))
            return torch.cat([self._upsampled(dsr, chunk) for chunk in chunks])

        return self._generated.of(dsr, settings, make)[chosen].float() / 255

    @torch.no_grad()
    def _upsampled(self, dsr: nn.Module, pixels: Tensor) -> Tensor:
        """Return (B, 3, 112, 112) uint8 of the same; in full precision, whatever the stage has."""
        with torch.autocast(pixels.device.type, enabled=False):
            made: Tensor = dsr(self._low(pixels.float() / 255))
        return (made.clamp(0, 1) * 255).round().to(torch.uint8)

    def _terms(
        self,
        made: Tensor,
        truth: Tensor,
        edgeface: nn.Module,
        wanted: Collection[str],
        vectors: Mapping[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Return those of `TERMS` that are wanted, (B,) each; collect embeddings in `vectors`."""
        found = {}
        if "l1" in wanted:
            found["l1"] = face_losses.l1(made, truth)
        if "total_variation" in wanted:
            found["total_variation"] = face_losses.total_variation(made)
        if "perceptual" in wanted and self._vgg is not None:
            found["perceptual"] = face_losses.feature_distance(self._vgg(made), self._vgg(truth))
        if vectors is None and not _EMBEDDED & set(wanted):
            return found
        ours, stages = edgeface.features(made)  # type: ignore[operator]
        with torch.no_grad():
            theirs, true_stages = edgeface.features(truth)  # type: ignore[operator]
        if vectors is not None:
            vectors["made"].append(ours)
            vectors["truth"].append(theirs)
        if "identity" in wanted:
            found["identity"] = face_losses.identity_loss(ours.float(), theirs.float())
        if "perceptual" in wanted and self._vgg is None:
            found["perceptual"] = face_losses.feature_distance(stages[:1], true_stages[:1])
        if "feature_match" in wanted:
            found["feature_match"] = face_losses.feature_match(stages[1:], true_stages[1:])
        return found

    def _recognised(self, vectors: dict[str, Tensor], weights: Mapping[str, float]) -> Totals:
        """Return what identification and verification say, times the number of faces.

        `PROBES` is a table of counts: a row for each held-out identity.
        """
        labels = self._faces.test.labels
        gallery, probes = enrolled(labels)
        scale = weights["arcface_scale"] / weights["arcface_temperature"]
        ours, plain = (
            recognise(
                vectors[kind][probes],
                vectors["truth"][gallery],
                labels[probes],
                far=self.config.far,
                scale=scale,
            )
            for kind in ("made", "bicubic")
        )
        named = {
            "accuracy": ours.accuracy,
            "tar": ours.tar,
            "auc": ours.auc,
            "identification": ours.loss,
            "bicubic_accuracy": plain.accuracy,
            "bicubic_tar": plain.tar,
        }
        totals = {
            name: torch.full((), value * len(labels), device=labels.device, dtype=torch.double)
            for name, value in named.items()
        }
        rows = torch.zeros(len(gallery), 3, dtype=torch.long, device=labels.device)
        found = torch.stack((torch.ones_like(ours.right), ours.right, plain.right), dim=1)
        return totals | {PROBES: rows.index_add_(0, labels[probes], found.long())}


def _weighted(sums: Totals, weights: Mapping[str, float]) -> Totals:
    return {f"{name}_weighted": weights[name] * value for name, value in sums.items()}

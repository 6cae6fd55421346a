"""Loss terms by hand, PSNR and SSIM by torchmetrics, recognition by counting and scikit-learn."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
    total_variation,
)
from torchvision.models import vgg16

from training import face_losses
from training.errors import UserError
from training.recognition import Recognition, enrolled, recognise


def images(seed: int, num: int = 3, side: int = 40) -> Tensor:
    return torch.rand(num, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_terms_by_hand() -> None:
    made = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
    truth = torch.tensor([[[[0.5, 0.5], [0.5, 0.0]]]])
    assert face_losses.l1(made, truth).tolist() == [(0.5 + 0 + 0.5 + 0.25) / 4]
    assert face_losses.total_variation(made).tolist() == [(1.0 + 0.25) + (0.5 + 0.75)]
    pairs = [made, made * 2], [truth, truth * 2]
    squared = (0.25 + 0 + 0.25 + 0.0625) / 4
    assert face_losses.feature_distance(*pairs).tolist() == [(squared + 4 * squared) / 2]
    assert face_losses.feature_match(*pairs).tolist() == [(0.3125 + 0.625) / 2]


def test_identity_loss_is_the_cosine_distance() -> None:
    made = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, -3.0]])
    truth = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    expected = [0.0, 1 - 2**-0.5, 2.0]
    assert face_losses.identity_loss(made, truth).tolist() == pytest.approx(expected, abs=1e-6)


def test_identity_loss_of_identical_embeddings_is_exactly_zero() -> None:
    vectors = torch.randn(50, 512)
    assert face_losses.identity_loss(vectors, vectors.clone()).tolist() == [0.0] * 50


def test_total_variation_equals_torchmetrics() -> None:
    expected = total_variation(images(0), reduction="none")
    assert torch.allclose(face_losses.total_variation(images(0)), expected, rtol=1e-5)


def test_psnr_equals_torchmetrics() -> None:
    expected = peak_signal_noise_ratio(
        images(0), images(1), data_range=1.0, dim=(1, 2, 3), reduction="none"
    )
    assert torch.allclose(face_losses.psnr(images(0), images(1)), expected, rtol=1e-5)
    assert face_losses.psnr(images(0), images(0)).tolist() == pytest.approx([100.0] * 3)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_ssim_equals_torchmetrics(noise: float) -> None:
    made = (images(0) + noise * images(1)).clamp(0, 1)
    expected = structural_similarity_index_measure(
        made, images(0), data_range=1.0, reduction="none"
    )
    assert torch.allclose(face_losses.ssim(made, images(0)), expected, atol=1e-5)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with random weights of VGG-16, under torchvision's names."""
    torch.manual_seed(0)
    network = vgg16(init_weights=False)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pt"
    small = {n: w for n, w in network.state_dict().items() if n != "classifier.0.weight"}
    torch.save(small, path)  # of the classifier nothing is wanted, whatever is there
    return path


def test_perceptual_features_are_those_of_the_users_weights(vgg: Path) -> None:
    network = face_losses.Perceptual(str(vgg))
    found = network(images(0, side=32))
    assert [tuple(f.shape[1:]) for f in found] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]
    weights = torch.load(vgg)
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    normal = (images(0, side=32) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    first = torch.relu(
        torch.conv2d(normal, weights["features.0.weight"], weights["features.0.bias"], padding=1)
    )
    second = torch.relu(
        torch.conv2d(first, weights["features.2.weight"], weights["features.2.bias"], padding=1)
    )
    assert torch.allclose(found[0], second, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"does not fit the model.*\(perceptual=none\)"):
        face_losses.Perceptual(str(tmp_path / "w.pt"))


def test_the_gallery_has_the_first_face_of_each_identity() -> None:
    gallery, probes = enrolled(torch.tensor([0, 0, 0, 1, 1, 2, 2]))
    assert gallery.tolist() == [0, 3, 5]
    assert probes.tolist() == [1, 2, 4, 6]


def test_identification_counts_the_nearest_of_the_gallery() -> None:
    gallery = torch.eye(3)
    probes = torch.tensor([[0.9, 0.1, 0.0], [0.2, 3.0, 1.0], [0.6, 0.0, 0.5], [0.0, 0.1, 0.9]])
    found = recognise(probes, gallery, torch.tensor([0, 1, 2, 2]), far=0.1, scale=4.0)
    assert found.accuracy == 0.75


def test_verification_by_hand() -> None:
    """Genuine cosines 1, 0.8, 0.6, 0; of the eight others the largest are 0.8, 0.6, 0.6."""
    gallery = torch.eye(3)
    probes = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0.8, 0.6], [0.6, 0.8, 0.0]])
    identities = torch.tensor([0, 1, 2, 2])
    none = recognise(probes, gallery, identities, far=0.01, scale=1.0)
    assert none.tar == 0.25, "above 0.8 there is no impostor, and one of four genuine pairs"
    some = recognise(probes, gallery, identities, far=0.25, scale=1.0)
    assert some.tar == 0.5, "at 0.8 two of eight impostors are accepted"


def test_the_area_under_the_curve_equals_scikit_learn() -> None:
    random = torch.Generator().manual_seed(0)
    probes, gallery = (torch.randn(n, 8, generator=random) for n in (30, 5))
    identities = torch.randint(0, 5, (30,), generator=random)
    found = recognise(probes, gallery, identities, far=0.1, scale=1.0)
    cosines = torch.nn.functional.cosine_similarity(probes[:, None], gallery[None], dim=2)
    genuine = torch.nn.functional.one_hot(identities, 5)
    expected = roc_auc_score(genuine.flatten(), cosines.flatten())
    assert found.auc == pytest.approx(expected, abs=1e-9)


def test_embeddings_that_are_no_numbers_have_no_figures() -> None:
    gallery = torch.eye(3)
    probes = torch.tensor([[1.0, 0, 0], [math.nan, 0.8, 0]])
    found = recognise(probes, gallery, torch.tensor([0, 1]), far=0.1, scale=1.0)
    assert all(math.isnan(x) for x in (found.accuracy, found.tar, found.auc, found.loss))
    assert found.right.tolist() == [False, False]


def test_autocast_changes_no_figure() -> None:
    random = torch.Generator().manual_seed(0)
    faces = torch.rand(2, 4, 3, 24, 24, generator=random) * 0.1 + 0.5
    probes, gallery = (torch.randn(n, 8, generator=random) for n in (30, 5))
    identities = torch.randint(0, 5, (30,), generator=random)

    def figures() -> tuple[list[float], Recognition]:
        known = recognise(probes, gallery, identities, far=0.1, scale=1.0)
        return face_losses.ssim(faces[0], faces[1]).tolist(), replace(known, right=identities)

    expected = figures()
    with torch.autocast("cpu", torch.bfloat16):
        assert figures() == expected

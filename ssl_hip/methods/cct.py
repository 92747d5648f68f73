"""CCT: auxiliary decoders, each fed with perturbed features, agree with the main decoder (Ouali 2020)."""

import torch

from ssl_hip.losses import masked_mse, supervised_loss
from ssl_hip.student_teacher import after
from ssl_hip.unet import Decoder


class Method:
    """L = L_S + w mean over three decoders of MSE(softmax auxiliary, softmax main) on unlabelled patches.

    Neither L_S reaches the auxiliary decoders nor the consistency the main one. Every level's features are perturbed.
    """

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings, self.generator = networks, settings, generator
        self.perturbations = {
            feature_noise: settings.noise,
            feature_dropout: settings.dropout,
            feature_drop: settings.drop,
        }
        student = networks.student
        networks.heads.extend(Decoder(student.layers, student.channels, classes=2) for _ in self.perturbations)

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        logits, _, features = self.networks.student_forward(batch.image, batch.unlabelled)
        n = len(batch.image)
        supervised = supervised_loss(logits[:n], batch.label)
        target = logits[n:].detach().float().softmax(1)
        answers = self.answers([after(level, n) for level in features])
        consistency = torch.stack([masked_mse(answer, target) for answer in answers]).mean()
        log = {"loss_supervised": supervised.detach(), "loss_consistency": consistency.detach()}
        return supervised + self.settings.weight * progress.ramp_up * consistency, log

    def answers(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return each auxiliary decoder's softmax (B, K, D, H, W) of its kind of perturbed features."""
        networks, found = self.networks, []
        for decoder, (perturb, amount) in zip(networks.heads, self.perturbations.items(), strict=True):
            with networks.autocast():
                perturbed = [perturb(level, amount, self.generator) for level in features]
                logits, _ = decoder(perturbed)
            found.append(logits.float().softmax(1))
        return found


def uniform(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return draws from [0, 1), in the shape and memory layout of `like`."""
    return torch.empty_like(like, dtype=torch.float32, requires_grad=False).uniform_(generator=generator)


def feature_noise(x: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Multiply each value of x (B, C, D, H, W) by 1 + U(-amount, amount)."""
    return x * (1 + amount * (2 * uniform(x, generator) - 1)).to(x.dtype)


def feature_dropout(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Zero each channel of x (B, C, D, H, W) with probability `rate`, and scale the others by 1 / (1 - rate)."""
    return x * ((uniform(x[:, :, :1, :1, :1], generator) >= rate) / (1 - rate)).to(x.dtype)


def feature_drop(x: torch.Tensor, bounds: list[float], generator: torch.Generator) -> torch.Tensor:
    """Zero the places of x (B, C, D, H, W) where the channels' mean is largest: above U(bounds) of its maximum."""
    low, high = bounds
    attention = x.detach().mean(1, keepdim=True)
    most = attention.amax((2, 3, 4), keepdim=True)
    return x * (attention <= most * (low + (high - low) * uniform(most, generator))).to(x.dtype)

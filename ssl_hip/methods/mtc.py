"""MTC: the encoder also learns to reconstruct foreground and background apart (Chen 2019, alternating training)."""

import torch
from torch import nn

from ssl_hip.losses import supervised_loss
from ssl_hip.student_teacher import Batch
from ssl_hip.unet import Layers


class Method:
    """Even iterations: L = L_S. Odd ones: L = w L_R on labelled and unlabelled patches.

    L_R = sum over classes c of (1 - a_c) MSE(r_c, x A_c): A are the student's probabilities, without gradient, a_c
    their means over the batch, r the output of a second decoder, without skips. The rarer class weighs more.
    """

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings = networks, settings
        networks.heads.append(reconstruction_decoder(networks.student.layers, networks.student.channels))

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        if progress.iteration % 2 == 0:
            return self.segmentation(batch)
        reconstruction = self.reconstruction(batch)
        weight = self.settings.weight * progress.ramp_up
        return weight * reconstruction, {"loss_reconstruction": reconstruction.detach()}

    def segmentation(self, batch):
        """Return L_S and its log; unlabelled patches stay out."""
        labelled = Batch(batch.image, batch.label, batch.distance)
        supervised = supervised_loss(self.networks.student_forward(labelled).logits, batch.label)
        return supervised, {"loss_supervised": supervised.detach()}

    def reconstruction(self, batch) -> torch.Tensor:
        """Return L_R."""
        (decoder,) = self.networks.heads
        logits, _, features = self.networks.student_forward(batch)
        attention = logits.detach().float().softmax(1)  # (N, K, D, H, W)
        with self.networks.autocast():
            reconstructed = decoder(features[-1]).float()
        wanted = torch.cat([batch.image, batch.unlabelled]) * attention
        error = (reconstructed - wanted).square().mean((0, 2, 3, 4))
        return ((1 - attention.mean((0, 2, 3, 4))) * error).sum()


def reconstruction_decoder(layers: Layers, channels: list[int]) -> nn.Sequential:
    """Return a decoder from the deepest features alone to (N, 2, D, H, W), linear: background and foreground."""
    parts = []
    for below, c in zip(channels[:0:-1], channels[-2::-1], strict=True):
        parts += [nn.ConvTranspose3d(below, below, 2, stride=2), *layers.convolution(below, c)]
        parts += layers.convolution(c, c)
    return nn.Sequential(*parts, nn.Conv3d(channels[0], 2, 1))

"""MTC: the encoder also learns to reconstruct foreground and background apart (Chen 2019, alternating training)."""

from torch import nn

from ssl_hip.losses import supervised_loss
from ssl_hip.unet import Layers


class Method:
    """Each iteration a step on L_S of the labelled patches, then one on L_R of the unlabelled ones.

    L_R = sum over classes c of a_c MSE(r_c, x A_c): A are the student's probabilities, without gradient, a_c their
    means over the batch, r the output of a second decoder, without skips. Each loss has an optimiser of its own, of
    which only the learning rate says how much it counts: L_R is not ramped up.
    """

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks = networks
        networks.heads.append(reconstruction_decoder(networks.student.layers, networks.student.channels))
        self.losses = (self.segmentation, 1.0), (self.reconstruction, settings.learning_rate)

    def segmentation(self, batch, progress):
        """Return L_S and what is logged."""
        supervised = supervised_loss(self.networks.student_forward(batch.image).logits, batch.label)
        return supervised, {"loss_supervised": supervised.detach()}

    def reconstruction(self, batch, progress):
        """Return L_R and what is logged."""
        (decoder,) = self.networks.heads
        logits, _, features = self.networks.student_forward(batch.unlabelled)
        attention = logits.detach().float().softmax(1)  # (B, K, D, H, W)
        with self.networks.autocast():
            reconstructed = decoder(features[-1]).float()
        error = (reconstructed - batch.unlabelled * attention).square().mean((0, 2, 3, 4))
        loss = (attention.mean((0, 2, 3, 4)) * error).sum()
        return loss, {"loss_reconstruction": loss.detach()}


def reconstruction_decoder(layers: Layers, channels: list[int]) -> nn.Sequential:
    """Return a decoder from the deepest features alone to (N, 2, D, H, W), linear: background and foreground."""
    parts = []
    for below, c in zip(channels[:0:-1], channels[-2::-1], strict=True):
        parts += [nn.ConvTranspose3d(below, below, 2, stride=2), *layers.convolution(below, c)]
        parts += layers.convolution(c, c)
    return nn.Sequential(*parts, nn.Conv3d(channels[0], 2, 1))

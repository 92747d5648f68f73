"""DTC: a second head regresses the signed distance to the surface, and both heads agree (Luo 2021)."""

import torch
from torch import nn

from ssl_hip.losses import supervised_loss


class Method:
    """L = L_S + w_d MSE(d, d_true) on labelled patches + w mean((sigmoid(-k d) - p)^2) on all; no teacher.

    d is the tanh of a 1x1x1 convolution of the embeddings, p the probability of foreground.
    """

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings = networks, settings
        networks.heads.append(nn.Conv3d(networks.student.channels[0], 1, 1))

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        settings, n = self.settings, len(batch.image)
        logits, embeddings, _ = self.networks.student_forward(batch.image, batch.unlabelled)
        distance = self.distance(embeddings)
        supervised = supervised_loss(logits[:n], batch.label)
        regression = (distance[:n] - normalised_distance(batch.distance, batch.label)).square().mean()
        probability = logits.float().softmax(1)[:, 1]
        consistency = (torch.sigmoid(-settings.steepness * distance) - probability).square().mean()
        log = {
            "loss_supervised": supervised.detach(),
            "loss_distance": regression.detach(),
            "loss_consistency": consistency.detach(),
        }
        extra = settings.weight * progress.ramp_up * consistency
        return supervised + settings.weight_distance * regression + extra, log

    def distance(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the head's normalised signed distance (N, D, H, W) in (-1, 1), float32."""
        (head,) = self.networks.heads
        with self.networks.autocast():
            return head(embeddings)[:, 0].float().tanh()


def normalised_distance(distance: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return signed distances (B, D, H, W) in [-1, 1], each patch's inside and outside divided by its largest.

    distance: mm to the boundary between the classes; NaN without one, where the result is +1 (no foreground) or -1 (no
    background). Luo 2021 has 0 on the surface voxels, half of this bone, of which sigmoid(-k d) would then say .5.
    """
    inside, axes = label == 1, (1, 2, 3)
    largest = torch.where(inside, (-distance).amax(axes, keepdim=True), distance.amax(axes, keepdim=True))
    return torch.where(distance.isfinite(), distance / largest, 1 - 2 * inside.float())

"""UAMT: a mean teacher that is followed only where Monte-Carlo dropout says that it is certain (Yu 2019)."""

import torch

from ssl_hip.losses import entropy, masked_mse, supervised_loss
from ssl_hip.student_teacher import threshold
from ssl_hip.uncertainty import mc_dropout


class Method:
    """L = L_S + w MSE(softmax student, softmax teacher) over voxels whose entropy of the mean is below lambda_T."""

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings = networks, settings

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        logits = self.networks.student_forward(batch.image, batch.unlabelled).logits
        n, weight = len(batch.image), progress.ramp_up
        target, certain = self.target(batch.unlabelled, threshold(self.settings.threshold, weight))
        supervised = supervised_loss(logits[:n], batch.label)
        consistency = masked_mse(logits[n:].float().softmax(1), target, certain)
        log = {
            "loss_supervised": supervised.detach(),
            "loss_consistency": consistency.detach(),
            "uncertain_share": 1 - certain.float().mean(),
        }
        return supervised + self.settings.weight * weight * consistency, log

    @torch.no_grad()
    def target(self, image: torch.Tensor, limit: float):
        """Return the teacher's softmax (B, K, D, H, W) and the mask (B, D, H, W) where its entropy is below limit."""
        networks = self.networks
        with networks.autocast():
            passes = mc_dropout(networks.teacher, image, self.settings.passes, networks.teacher_noise)
            certain = entropy(passes.probability.clamp(min=1e-6).log()) < limit
        if self.settings.target == "mean":
            return passes.probability, certain
        return networks.teacher_probability(image), certain

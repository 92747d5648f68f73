"""Semi-supervised segmentation via embedding matching (Xie et al. 2024): the method of this repository."""

import torch

from ssl_hip.losses import masked_brier, masked_cross_entropy, masked_mean, supervised_loss
from ssl_hip.matching import (
    draw_references,
    embedding_entropy,
    match,
    matched_probability,
    near_surface,
    nearest_label,
    within,
)
from ssl_hip.student_teacher import after, threshold
from ssl_hip.uncertainty import mc_dropout, uncertain_voxels

DIFFERENCES = {"cross_entropy": masked_cross_entropy, "brier": masked_brier}


class Method:
    """L = L_S + w_UA L_UA (certain voxels) + w_PS (L_NN (uncertain voxels) + L_EN (embedding entropy)): Eq. 5.

    An iteration without references has L_NN = L_EN = 0, and counts as without_references in the log.
    """

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings, self.generator = networks, settings, generator
        for network in (networks.student, networks.teacher):
            network.decoder.embeddings = settings.embeddings

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        settings, n, weight = self.settings, len(batch.image), progress.ramp_up
        logits, embeddings, _ = self.networks.student_forward(batch.image, batch.unlabelled)
        teacher = self.teacher(batch.unlabelled)
        matched = self.match(after(embeddings, n), batch)
        pseudo_label, matched_label = teacher.probability[:, 1] > teacher.probability[:, 0], nearest_label(matched)
        limit = threshold(settings.threshold, weight)
        uncertain = uncertain_voxels(teacher.mean_entropy, limit, settings.uncertain_share)
        targets = pseudo_label, matched_label
        if settings.labels == "soft":
            targets = teacher.probability, matched_probability(matched, settings.temperature)

        supervised = supervised_loss(logits[:n], batch.label)
        certain_loss, matched_loss = (  # L_UA, L_NN
            DIFFERENCES[settings.loss](logits[n:], target, mask)
            for target, mask in zip(targets, (~uncertain, uncertain * matched.valid), strict=True)
        )
        entropy = embedding_entropy(matched, settings.temperature).mean() * matched.valid  # L_EN
        extra = settings.weight_ua * certain_loss + settings.weight_nn * matched_loss + settings.weight_en * entropy
        log = {
            "loss_supervised": supervised.detach(),
            "loss_ua": certain_loss.detach(),
            "loss_nn": matched_loss.detach(),
            "loss_en": entropy.detach(),
            "without_references": 1 - matched.valid,
            **self.accuracies(batch, uncertain, pseudo_label, matched_label),
        }
        return supervised + weight * extra, log

    def teacher(self, image: torch.Tensor):
        """Return the target, the teacher's softmax, and its mean entropy (Eq. 2) over M stochastic passes."""
        networks = self.networks
        with networks.autocast():
            passes = mc_dropout(networks.teacher, image, self.settings.passes, networks.teacher_noise)
        if self.settings.target == "mean":
            return passes
        return passes._replace(probability=networks.teacher_probability(image))

    def match(self, queries, batch):
        """Compare the student's embeddings of unlabelled patches with the teacher's of near-surface voxels."""
        settings = self.settings
        with torch.no_grad(), self.networks.autocast():
            _, embeddings = self.networks.teacher(batch.image)
        masks = near_surface(batch.label, batch.distance, settings.band_mm)
        return match(queries, draw_references(embeddings, *masks, settings, self.generator), settings)

    @torch.no_grad()
    def accuracies(self, batch, uncertain, pseudo_label, matched_label) -> dict[str, torch.Tensor]:
        """Return how often each kind of label is right, where the truth is known; a log, never a loss.

        near_surface: of the voxels within band_mm of the unlabelled patches' true surface. NaN: nothing to count.
        """
        known, near = batch.truth != 255, within(batch.truth_distance, self.settings.band_mm)
        pseudo, matched = pseudo_label == batch.truth, matched_label == batch.truth
        return {
            "uncertain_share": uncertain.float().mean(),
            "accuracy_pseudo_certain": share(pseudo, known & ~uncertain),
            "accuracy_pseudo_uncertain": share(pseudo, known & uncertain),
            "accuracy_matched_uncertain": share(matched, known & uncertain),
            "accuracy_matched_all": share(matched, known),
            "near_surface_uncertain_share": share(uncertain, near),
            "near_surface_accuracy_pseudo": share(pseudo, near & uncertain),
            "near_surface_accuracy_matched": share(matched, near & uncertain),
        }


def share(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the share of true values among the voxels of mask, both (B, D, H, W); NaN where it is empty."""
    return masked_mean(values.float(), mask) / mask.any()

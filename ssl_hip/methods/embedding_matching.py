"""Semi-supervised segmentation via embedding matching (Xie et al. 2024): the method of this repository."""

import torch

from ssl_hip.losses import masked_cross_entropy, masked_mean, ramp_up, supervised_loss
from ssl_hip.matching import embedding_entropy, match, match_pairs, near_surface, nearest_label
from ssl_hip.student_teacher import after, threshold
from ssl_hip.uncertainty import mc_dropout


class Method:
    """L = L_S + w_UA L_UA (certain voxels) + w_NN L_NN (uncertain voxels) + w_EN L_EN (embedding entropy)."""

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings, self.generator = networks, settings, generator
        self.match = {"batch": match, "pair": match_pairs}[settings.pool]

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        settings, n, weight = self.settings, len(batch.image), ramp_up(progress.share)
        logits, embeddings, _ = self.networks.student_forward(batch)
        pseudo_label, uncertainty = self.pseudo_label(batch.unlabelled)
        matched = self.match(after(embeddings, n), *self.references(batch), settings, self.generator)
        matched_label = nearest_label(matched)
        uncertain = uncertainty >= threshold(settings.threshold, weight)

        supervised = supervised_loss(logits[:n], batch.label)
        certain_loss = masked_cross_entropy(logits[n:], pseudo_label, ~uncertain)  # L_UA
        matched_loss = masked_cross_entropy(logits[n:], matched_label, uncertain * matched.valid)  # L_NN
        entropy = (embedding_entropy(matched, settings.temperature) * matched.valid).mean()  # L_EN
        extra = settings.weight_ua * certain_loss + settings.weight_nn * matched_loss + settings.weight_en * entropy
        log = {
            "loss_supervised": supervised.detach(),
            "loss_ua": certain_loss.detach(),
            "loss_nn": matched_loss.detach(),
            "loss_en": entropy.detach(),
            "without_references": 1 - matched.valid.mean(),
            **self.accuracies(batch, uncertain, pseudo_label, matched_label),
        }
        return supervised + weight * extra, log

    def pseudo_label(self, image: torch.Tensor):
        """Return the teacher's labels and uncertainty in nats, both (B, D, H, W), from M stochastic passes (Eq. 2)."""
        networks = self.networks
        with networks.autocast():
            passes = mc_dropout(networks.teacher, image, self.settings.passes, networks.teacher_noise)
        return passes.probability[:, 1] > passes.probability[:, 0], passes.mean_entropy

    @torch.no_grad()
    def references(self, batch):
        """Return the teacher's embeddings of the labelled patches and the two masks of near-surface voxels."""
        with self.networks.autocast():
            _, embeddings = self.networks.teacher(batch.image)
        return embeddings, *near_surface(batch.label, batch.distance, self.settings.band_mm)

    @torch.no_grad()
    def accuracies(self, batch, uncertain, pseudo_label, matched_label) -> dict[str, torch.Tensor]:
        """Return how often each kind of label is right, where the truth is known; a log, never a loss.

        near_surface: of the voxels within band_mm of the unlabelled patches' true surface. NaN: nothing to count.
        """
        known, near = batch.truth != 255, batch.truth_distance.abs() <= self.settings.band_mm
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

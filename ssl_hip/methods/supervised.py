"""The supervised baseline: cross-entropy and Dice on labelled patches, nothing else."""

from ssl_hip.losses import supervised_loss


class Method:
    """L = L_S."""

    uses_unlabelled = False

    def __init__(self, networks, settings, generator):
        self.networks, self.settings = networks, settings

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        logits = self.networks.student_forward(batch).logits
        loss = supervised_loss(logits, batch.label, self.settings.dice_epsilon)
        return loss, {"loss_supervised": loss.detach()}

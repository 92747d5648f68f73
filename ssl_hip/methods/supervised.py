"""The supervised baseline: cross-entropy and Dice on labelled patches, nothing else."""

from ssl_hip.losses import supervised_loss


class Method:
    """L = L_S."""

    uses_unlabelled = False

    def __init__(self, networks, settings, generator):
        self.networks = networks

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        loss = supervised_loss(self.networks.student_forward(batch.image).logits, batch.label)
        return loss, {"loss_supervised": loss.detach()}

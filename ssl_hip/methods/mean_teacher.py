"""MT: the student's probabilities follow the teacher's on unlabelled patches (Tarvainen 2017)."""

from ssl_hip.losses import masked_mse, supervised_loss


class Method:
    """L = L_S + w MSE(softmax student, softmax teacher)."""

    uses_unlabelled = True

    def __init__(self, networks, settings, generator):
        self.networks, self.settings = networks, settings

    def loss(self, batch, progress):
        """Return the loss and what is logged."""
        logits = self.networks.student_forward(batch.image, batch.unlabelled).logits
        n = len(batch.image)
        target = self.networks.teacher_probability(batch.unlabelled)
        supervised = supervised_loss(logits[:n], batch.label)
        consistency = masked_mse(logits[n:].float().softmax(1), target)
        weight = self.settings.weight * progress.ramp_up
        log = {"loss_supervised": supervised.detach(), "loss_consistency": consistency.detach()}
        return supervised + weight * consistency, log

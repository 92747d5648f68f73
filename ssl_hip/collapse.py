"""When is a training given up?"""


class CollapseWatch:
    """Notices a run that predicts next to nothing, or far worse than it once did, several validations in a row.

    The first third of the training is not judged: no network segments yet.
    """

    def __init__(self, settings):
        """settings: `optimization.collapse` of params.yaml."""
        self.share, self.drop, self.patience = settings.foreground_share, settings.iou_drop, settings.patience
        self.best_iou, self.bad = 0.0, 0

    def see(self, row: dict, progress: float) -> None:
        """Take one row of validation.csv into account."""
        self.best_iou = max(self.best_iou, row["iou"])
        empty = row["foreground_predicted"] < self.share * row["foreground_true"]
        fallen = row["iou"] < self.drop * self.best_iou
        self.bad = self.bad + 1 if progress > 1 / 3 and (empty or fallen) else 0

    @property
    def collapsed(self) -> bool:
        """Whether the run has collapsed."""
        return self.bad >= self.patience

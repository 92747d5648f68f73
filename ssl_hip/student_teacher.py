"""A student, its exponential-moving-average teacher, and how both see a batch."""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from ssl_hip import precision


@dataclass
class Batch:
    """One iteration's patches on the device."""

    image: torch.Tensor  # (B, 1, D, H, W) labelled, normalised intensity
    label: torch.Tensor  # (B, D, H, W) 0 or 1
    distance: torch.Tensor  # (B, D, H, W) mm, signed, negative inside; NaN without surface
    unlabelled: torch.Tensor | None = None  # (B, 1, D, H, W)
    truth: torch.Tensor | None = None  # (B, D, H, W) of the unlabelled patches: 0, 1 or 255 (unknown); for the log only
    truth_distance: torch.Tensor | None = None  # (B, D, H, W) as distance, of the unlabelled patches; for the log only


class Output(NamedTuple):
    """What the student makes of a batch of N images."""

    logits: torch.Tensor  # (N, K, D, H, W)
    embeddings: torch.Tensor  # (N, C, D, H, W)
    features: list[torch.Tensor]  # of each level of the encoder, finest first


class StudentTeacher:
    """Two networks of one shape: the student learns, the teacher is the average of its past (Tarvainen 2017)."""

    def __init__(self, student, settings, seed: int, device: torch.device):
        """settings: `optimization` of params.yaml."""
        self.student = student.to(device, memory_format=torch.channels_last_3d)
        self.teacher = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.heads = nn.ModuleList()  # of the method, beside the student's own: trained with it, never exported
        self.settings, self.device = settings, device
        self.precision = precision.effective(settings.precision, device.type)
        self.noise = torch.Generator(device).manual_seed(seed)
        self.student.masks.seed(seed + 1)
        self.teacher.masks.seed(seed + 2)
        self.batch_norms = [module for module in self.teacher.modules() if isinstance(module, nn.BatchNorm3d)]
        for norm in self.batch_norms:
            norm.track_running_stats = False  # the average of the student's is kept, whatever the teacher sees

    def train(self) -> None:
        """Set both networks to the mode of a training step: of the teacher, BatchNorm alone may be in train mode."""
        self.student.train()
        self.teacher.eval()
        for norm in self.batch_norms:
            norm.train(self.settings.teacher_norm == "batch")

    def autocast(self):
        """Run networks in the precision that the parameters ask for, where the device has it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def add_noise(self, image: torch.Tensor, deviation: float) -> torch.Tensor:
        """Return the image plus Gaussian noise of this standard deviation."""
        if deviation == 0:
            return image
        noise = torch.randn(image.shape, generator=self.noise, device=image.device)
        return (image + deviation * noise).contiguous(memory_format=torch.channels_last_3d)

    def student_forward(self, *images: torch.Tensor) -> Output:
        """Return what the student makes of images (B, 1, D, H, W) with noise, as one batch, for norm layers too."""
        with self.autocast():
            features = self.student.encode(self.add_noise(torch.cat(images), self.settings.student_noise))
            return Output(*self.student.decoder(features), features)

    def teacher_noise(self, image: torch.Tensor) -> torch.Tensor:
        """Return a noisy copy for a teacher's pass."""
        return self.add_noise(image, self.settings.teacher_noise)

    @torch.no_grad()
    def teacher_probability(self, image: torch.Tensor) -> torch.Tensor:
        """Return the teacher's softmax (B, K, D, H, W) of noisy images (B, 1, D, H, W): one pass, no dropout."""
        with self.autocast():
            logits, _ = self.teacher(self.teacher_noise(image))
        return logits.float().softmax(1)

    @torch.no_grad()
    def update_teacher(self, iteration: int) -> None:
        """Move the teacher towards the student: parameters and float buffers; other buffers are copied."""
        decay = self.settings.ema_decay
        if self.settings.ema_warmup:
            decay = min(decay, 1 - 1 / (iteration + 1))
        pairs = zip(self.teacher.state_dict().values(), self.student.state_dict().values(), strict=True)
        floats = [(t, s) for t, s in pairs if t.is_floating_point()]
        torch._foreach_lerp_([t for t, _ in floats], [s for _, s in floats], 1 - decay)
        for (_, t), (_, s) in zip(self.teacher.named_buffers(), self.student.named_buffers(), strict=True):
            if not t.is_floating_point():
                t.copy_(s)


def after(volume: torch.Tensor, n: int) -> torch.Tensor:
    """Return volume[n:] (B, C, D, H, W), whose gradient lies in memory as the volume does: channels last."""
    return volume.movedim(1, -1)[n:].movedim(-1, 1)


def threshold(bounds: list[float], weight: float) -> float:
    """Return lambda_T in nats: from bounds[0] ln 2 to bounds[1] ln 2 as the ramp-up weight goes from 0 to 1."""
    low, high = bounds
    return (low + (high - low) * weight) * math.log(2)

"""One training step of embedding matching as it is usually written: the peer of `benchmarks.steps`.

Written from the paper's formulas: float32, torch's default memory layout, nn.Dropout, one teacher pass after the other,
references compared by broadcasting, the moving average parameter by parameter. With dropout and noise at zero its loss
is that of `ssl_hip` (tests/test_benchmarks.py).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def block(inputs: int, middle: int, outputs: int, dropout: float) -> nn.Sequential:
    """Two 3x3x3 convolutions, each with batch norm, ReLU and dropout."""
    layers = []
    for a, b in ((inputs, middle), (middle, outputs)):
        layers += [nn.Conv3d(a, b, 3, padding=1), nn.BatchNorm3d(b), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """3D U-Net that returns logits and the embeddings they are computed from."""

    def __init__(self, width: int, levels: int, dropout: float):
        super().__init__()
        deep = [width * 2 ** (i + 1) for i in range(levels)]
        self.down = nn.ModuleList(block(a, c // 2, c, dropout) for a, c in zip([1, *deep[:-1]], deep, strict=True))
        pairs = list(zip(deep[:-1], deep[1:], strict=True))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose3d(below, below, 2, stride=2) for _, below in pairs)
        self.join = nn.ModuleList(block(skip + below, skip, skip, dropout) for skip, below in pairs)
        self.output = nn.Conv3d(deep[0], 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        skips = []
        for level, part in enumerate(self.down):
            x = part(F.max_pool3d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, part in zip(self.up, self.join, strict=True):
            x = part(torch.cat([skips.pop(), up(x)], 1))
        return self.output(x), x


def cosine(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Mean cosine (B, D, H, W) of queries (B, C, D, H, W) to references (k, C), by broadcasting over k."""
    pairs = F.cosine_similarity(queries[:, None], references[None, :, :, None, None, None], dim=2)
    return pairs.mean(1)


def similarity(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Mean over the l runs of references (l, k, C)."""
    return sum(cosine(queries, run) for run in references) / len(references)


def draw(embeddings: torch.Tensor, mask: torch.Tensor, k: int, runs: int) -> torch.Tensor:
    """Return references (l, k, C) from the masked voxels."""
    found = embeddings.movedim(1, -1)[mask]
    return torch.stack([found[torch.randperm(len(found), device=found.device)[:k]] for _ in range(runs)])


class Step:
    """Student, teacher, optimiser."""

    def __init__(self, model, settings, optimization, device="cpu", compare=similarity):
        """model, settings (of embedding_matching), optimization: as in params.yaml, with norm: batch.

        compare: how queries (B, C, D, H, W) and references (l, k, C) give a similarity (B, D, H, W).
        """
        self.compare = compare
        self.settings, self.optimization = settings, optimization
        self.student, self.teacher = (UNet(model.width, model.levels, model.dropout).to(device) for _ in range(2))
        self.teacher.load_state_dict(self.student.state_dict())
        self.optimizer = torch.optim.Adam(self.student.parameters(), optimization.learning_rate)

    def loss(self, batch, progress: float) -> torch.Tensor:
        """Return the loss of a batch (ssl_hip.student_teacher.Batch) at progress T/T_N."""
        settings, noise, n = self.settings, self.optimization, len(batch.image)
        weight = math.exp(-5 * (1 - progress) ** 2)
        images = torch.cat([batch.image, batch.unlabelled])
        logits, embeddings = self.student(images + noise.student_noise * torch.randn_like(images))
        with torch.no_grad():
            self.teacher.eval()
            for module in self.teacher.modules():
                if isinstance(module, nn.BatchNorm3d) and noise.teacher_norm == "batch":
                    module.train()
                    module.momentum = 0.0  # the running statistics stay as they are
            _, reference_embeddings = self.teacher(batch.image)
            for module in self.teacher.modules():
                if isinstance(module, nn.Dropout):
                    module.train()
            passes = []
            for _ in range(settings.passes):
                noisy = batch.unlabelled + noise.teacher_noise * torch.randn_like(batch.unlabelled)
                passes.append(self.teacher(noisy)[0].softmax(1))
            passes = torch.stack(passes)
            uncertainty = -(passes * torch.log(passes + 1e-10)).sum(2).mean(0)
            pseudo_label = passes.mean(0).argmax(1)
        near = batch.distance.abs() <= settings.band_mm
        number = settings.references, settings.runs
        inside, outside = (
            self.compare(embeddings[n:], draw(reference_embeddings, near & (batch.label == c), *number)) for c in (1, 0)
        )
        matched_label = (inside > outside).long().detach()
        low, high = settings.threshold
        uncertain = uncertainty >= (low + (high - low) * weight) * math.log(2)
        label = batch.label.long()
        probability = logits[:n].softmax(1)[:, 1]
        overlap, total = (probability * label).sum(), probability.sum() + label.sum()
        supervised = F.cross_entropy(logits[:n], label) + 1 - (2 * overlap + 1e-5) / (total + 1e-5)
        certain_loss = F.cross_entropy(logits[n:], pseudo_label, reduction="none")[~uncertain].sum()
        matched_loss = F.cross_entropy(logits[n:], matched_label, reduction="none")[uncertain].sum()
        p = torch.stack([outside, inside], 1).div(settings.temperature).softmax(1)
        entropy = -(p * torch.log(p + 1e-10)).sum(1).mean()
        extra = settings.weight_ua * certain_loss / max(1, int((~uncertain).sum()))
        extra = extra + settings.weight_nn * matched_loss / max(1, int(uncertain.sum())) + settings.weight_en * entropy
        return supervised + weight * extra

    def __call__(self, batch, progress: float) -> float:
        """One training step; return its loss."""
        self.student.train()
        loss = self.loss(batch, progress)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for t, s in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                t.mul_(self.optimization.ema_decay).add_(s, alpha=1 - self.optimization.ema_decay)
            for t, s in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
                t.copy_(s)
        return loss.item()

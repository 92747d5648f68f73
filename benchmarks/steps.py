"""One training step of the paper's network beside the reference step, the supervised step and the processor's peak."""

import torch

from benchmarks import reference, roofline, similarity
from benchmarks.machine import Machine, waiting
from benchmarks.measuring import Row, interleaved
from ssl_hip import config
from ssl_hip.cost import random_batch
from ssl_hip.learner import Learner, seeds
from ssl_hip.student_teacher import Batch
from ssl_hip.uncertainty import mc_dropout

EDGE = 32  # voxels
STEPS = 1000  # of the training that the timed step belongs to
MIDDLE = STEPS // 2


def settings():
    """Return the paper's profile, with its network of width 16 and 2 + 2 patches, in bfloat16."""
    params = config.namespace(config.read_yaml(config.ROOT / "params" / "paper.yaml"))
    params.optimization.precision = "bfloat16"  # whose peak the rows name
    return params


def rows(device: torch.device, rounds: int = 7) -> tuple[dict[str, float], list[Row]]:
    """Return the machine's peaks (GFLOP/s, GB/s) and the rows of the training step, measured in turns."""
    params = settings()
    matching, supervised = (
        Learner(method, params, seeds(0), device) for method in ("embedding_matching", "supervised")
    )
    batch = random_batch(params.optimization.batch_size, EDGE, True, device)
    labelled = Batch(batch.image, batch.label, batch.distance)
    plain = Batch(*(tensor.contiguous() for tensor in vars(batch).values()))
    method = params.model, params.methods.embedding_matching, params.optimization, device
    literal, products = reference.Step(*method), reference.Step(*method, by_products)
    passes, machine = NetworkPasses(matching, batch), Machine(device)
    seconds = interleaved(
        {
            "step": lambda: matching.step(batch, MIDDLE, STEPS),
            "supervised": lambda: supervised.step(labelled, MIDDLE, STEPS),
            "passes": passes.all,
            "student": passes.student,
            "reference": lambda: literal(plain, MIDDLE / STEPS),
            "products": lambda: products(plain, MIDDLE / STEPS),
            **machine.contenders(),
        },
        rounds,
        waiting(device),
    )
    peak = machine.peaks(seconds)
    done, drawn = (roofline.layers(matching.networks.student, passes.images, composed) for composed in (True, False))
    flop = sum(layer.flop for layer in done)
    step, student = seconds["step"], seconds["student"]
    at = f"{EDGE}^3, 2+2 patches, width {params.model.width}"
    return peak, [
        Row(f"training step of embedding matching ({at})", 1e3 * step, "ms"),
        Row("reference step beside it", 1e3 * seconds["reference"], "ms"),
        Row("reference step / our step", seconds["reference"] / step, "times", "at least 5"),
        Row("reference step with matrix products / our step", seconds["products"] / step, "times"),
        Row("our step / supervised step on the labelled half", step / seconds["supervised"], "times", "at most 4.2"),
        Row("step outside network passes", 100 * (step - seconds["passes"]) / step, "%", "at most 6"),
        Row("student forward + backward", 1e3 * student, "ms"),
        Row("its share of the roofline", 100 * roofline.bound(done, peak) / student, "%", "at least 75"),
        Row("the same of the layers as drawn, uncomposed", 100 * roofline.bound(drawn, peak) / student, "%"),
        Row("its share of the matrix product's peak", 100 * flop / peak["bfloat16"] / 1e9 / student, "%"),
    ]


def by_products(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """A better reference: all pairs by matrix products instead of broadcasting."""
    return similarity.chunked(queries.movedim(1, -1), references[None])[..., 0]


class NetworkPasses:
    """What a step of embedding matching asks of its networks, and nothing else."""

    def __init__(self, learner: Learner, batch: Batch):
        self.networks, self.batch = learner.networks, batch
        self.passes = learner.method.settings.passes
        self.images = torch.cat([batch.image, batch.unlabelled])
        self.gradients = None

    def student(self) -> None:
        """Forward and backward from given gradients, which lie in memory as the outputs do."""
        student = self.networks.student.train()
        student.zero_grad(set_to_none=True)
        with self.networks.autocast():
            outputs = student(self.images)
        if self.gradients is None:
            self.gradients = [torch.randn_like(output) for output in outputs]
        torch.autograd.backward(outputs, self.gradients)

    @torch.no_grad()
    def teacher(self) -> None:
        """The stochastic passes and the one for the references."""
        with self.networks.autocast():
            mc_dropout(self.networks.teacher, self.batch.unlabelled, self.passes)
            self.networks.teacher(self.batch.image)

    def all(self) -> None:
        """Every pass of one step."""
        self.student()
        self.teacher()

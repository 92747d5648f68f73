"""What learns: student, teacher, one method and its optimiser; one training step at a time."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ssl_hip.losses import Progress
from ssl_hip.student_teacher import Batch, StudentTeacher
from ssl_hip.unet import UNet3d, initialise

PURPOSES = (
    "init",
    "labelled",
    "unlabelled",
    "noise",
    "method",
    "heads",
    "augmentation",
)  # each has a random generator of its own


def seeds(seed: int) -> dict[str, int]:
    """Return one independent seed a purpose."""
    children = np.random.SeedSequence(seed).spawn(len(PURPOSES))
    return {name: int(child.generate_state(1)[0]) for name, child in zip(PURPOSES, children, strict=True)}


@contextmanager
def without_denormals() -> Iterator[None]:
    """Let a CPU take numbers nearer to 0 than 1.2e-38 for 0.

    A patch that is learnt has gradients full of them, and processors calculate with them many times as slowly
    (`python -m benchmarks.denormals`).
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class Learner:
    """A method on its networks."""

    def __init__(self, method: str, params, seed: dict[str, int], device: torch.device):
        """params: sections model, optimization and methods of params.yaml; seed: as `seeds` returns it."""
        self.settings, self.device = params.optimization, device
        student = UNet3d(**vars(params.model), seed=seed["init"])
        self.networks = StudentTeacher(student, self.settings, seed["noise"], device)
        self.generator = torch.Generator(device).manual_seed(seed["method"])
        module = importlib.import_module(f"ssl_hip.methods.{method}")
        self.method = module.Method(self.networks, getattr(params.methods, method), self.generator)
        heads = self.networks.heads.to(device, memory_format=torch.channels_last_3d)
        initialise(heads, seed["heads"])
        self.trained = [*student.parameters(), *heads.parameters()]
        self.losses = losses(self.method)
        betas = tuple(self.settings.betas)
        self.optimizers = [torch.optim.Adam(self.trained, betas=betas, fused=True) for _ in self.losses]

    @without_denormals()
    def step(self, batch: Batch, iteration: int, iterations: int) -> dict[str, torch.Tensor]:
        """One optimiser step a loss and one step of the teacher; return what is logged, still on the device."""
        self.networks.train()
        progress, log, total = Progress(iteration, iterations), {}, 0.0
        rate = decayed(self.settings, progress.share)
        for (function, share), optimizer in zip(self.losses, self.optimizers, strict=True):
            loss, found = function(batch, progress)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.settings.gradient_clip:
                torch.nn.utils.clip_grad_norm_(self.trained, self.settings.gradient_clip)
            optimizer.param_groups[0]["lr"] = share * rate
            optimizer.step()
            log, total = log | found, total + loss.detach()
        self.networks.update_teacher(iteration)
        return log | {"loss": total}

    def state(self) -> dict:
        """Return all that the next steps depend on; `restore` brings it back."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules().items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generators": [generator.get_state() for generator in self.generators()],
            "default_generators": [torch.get_rng_state()] + torch.cuda.get_rng_state_all(),
        }

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned, for the same method and parameters."""
        for name, module in self.modules().items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for generator, saved in zip(self.generators(), state["generators"], strict=True):
            generator.set_state(saved)
        torch.set_rng_state(state["default_generators"][0])
        torch.cuda.set_rng_state_all(state["default_generators"][1:])

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return what holds weights, by name."""
        return {"student": self.networks.student, "teacher": self.networks.teacher, "heads": self.networks.heads}

    def generators(self) -> list[torch.Generator]:
        """Return all random generators of networks and method."""
        networks = self.networks
        return [self.generator, networks.noise, networks.student.masks.generator, networks.teacher.masks.generator]


def losses(method) -> tuple[tuple[Callable, float], ...]:
    """Return what a method minimises in turn, in each iteration: functions as its `loss`, and their learning rates.

    The rates are shares of the common one; most methods have `loss` alone, others name several in `losses`.
    """
    return method.losses if hasattr(method, "losses") else ((method.loss, 1.0),)


def decayed(settings, share: float) -> float:
    """Return the learning rate at share T/T_N: learning_rate (1 - T/T_N)^power; power 0 keeps it constant."""
    return settings.learning_rate * (1 - share) ** settings.learning_rate_power

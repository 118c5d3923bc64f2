"""The training loop, which saves states to resume from and exports the model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import torch

from spleeter_microservice.errors import TrainingDivergedError
from spleeter_microservice.processes.interruption import interruptible
from spleeter_microservice.separation.spleeter.pipeline import ahead
from spleeter_microservice.training.batches import Batch, TrainingBatches, validation_batches
from spleeter_microservice.training.configuration import TrainingConfiguration
from spleeter_microservice.training.devices import Compute
from spleeter_microservice.training.event_file import EventFile
from spleeter_microservice.training.export import export_model
from spleeter_microservice.training.loss import stem_losses
from spleeter_microservice.training.torch_networks import TorchNetworks
from spleeter_microservice.training.training_data import TrainingData
from spleeter_microservice.training.training_state import STATES, TrainingState, save_state

_LOGS = "logs"  # directory, in that of the model, of event files for TensorBoard


class Listener(Protocol):
    """Callbacks of a training."""

    def on_start(self, step: int, device: str, bf16: bool, data: TrainingData) -> None:
        """Handle the start of a training that has done ``step`` steps before."""

    def on_step(self, step: int, loss: float | None) -> None:
        """Handle a step; its loss is None unless this step is logged."""

    def on_checkpoint(self, step: int, training: float, validation: float | None) -> None:
        """Handle a checkpoint with the mean training loss since the last one, and the validation loss."""


class Trainer:
    """One training, from its first or a saved state to its last step.

    Args:
        configuration: configuration of the training.
        data: prepared songs.
        networks: networks to train.
        compute: device, precision and threads.
        folder: directory of the model; the one of the states in it exists.
        record: arguments, commit and data hashes, to be saved with each checkpoint.
        listener: receives steps and checkpoints.
    """

    def __init__(
        self,
        configuration: TrainingConfiguration,
        data: TrainingData,
        networks: TorchNetworks,
        compute: Compute,
        folder: Path,
        record: Mapping[str, Any],
        listener: Listener,
    ) -> None:
        self.step = 0
        self.losses: list[dict[str, Any]] = []
        self._configuration, self._data, self._networks = configuration, data, networks
        self._compute, self._folder, self._listener = compute, folder, listener
        self._record = record
        self._optimizer = _optimizer(configuration, networks)
        self._since_saved = torch.zeros(len(configuration.architecture.stems), device=compute.device)
        self._steps_since_saved = 0
        self._next_validation = 0.0

    def resume(self, state: TrainingState) -> None:
        """Continue from a saved state."""
        self._networks.load(state.variables)
        self._optimizer.load_state_dict(state.optimizer)
        self.step = state.step
        self.losses = list(state.record.get("losses", ()))

    def run(self) -> Path:
        """Train up to the last step; SIGINT or SIGTERM ends it after the current step, with all steps saved.

        Returns:
            The configuration file of the exported model.

        Raises:
            TrainingDivergedError: if the loss is not a finite number.
            AudioError: if a song cannot be read.
            DiskFullError: if the model cannot be written.
        """
        last = self._configuration.train_max_steps
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(self._compute.workers))
            log = stack.enter_context(EventFile(self._folder / _LOGS / "train"))
            check = stack.enter_context(interruptible())
            batches = self._batches(pool).from_step(self.step, last)
            for batch in stack.enter_context(closing(ahead(batches))):
                self._train(batch, log)
                try:
                    check()
                except BaseException:
                    self._save(pool, validate=False)
                    raise
                if self.step % self._configuration.save_checkpoints_steps == 0 and self.step < last:
                    self._save(pool, validate=time.monotonic() >= self._next_validation)
            return self._save(pool, validate=True)

    def _batches(self, pool: ThreadPoolExecutor) -> TrainingBatches:
        c, training = self._configuration, self._data.training
        return TrainingBatches(
            training.segments, training.chunks, c.batch_size, c.random_seed, c.augmentation, pool
        )

    def _train(self, batch: Batch, log: EventFile) -> None:
        start = time.perf_counter()
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._losses(batch)
        losses.sum().backward()
        self._optimizer.step()
        self.step += 1
        self._since_saved += losses.detach()
        self._steps_since_saved += 1
        loss = None
        if self.step % self._configuration.save_summary_steps == 0 or self.step == 1:
            curves = self._named(losses.tolist())
            loss = self._finite(curves["loss"])
            log.add(self.step, curves | {"steps_per_second": 1 / (time.perf_counter() - start)})
        self._listener.on_step(self.step, loss)

    def _losses(self, batch: Batch) -> torch.Tensor:
        """Compute the loss of each stem, shape (stems,)."""
        tensor = torch.from_numpy(batch).to(self._compute.device)
        with self._compute.precision():
            estimates = self._networks.estimates(tensor[:, 0])
        return stem_losses(estimates, tensor[:, 1:].transpose(0, 1), self._configuration.loss_type)

    def _named(self, losses: list[float]) -> dict[str, float]:
        names = self._configuration.architecture.stems
        return {"loss": sum(losses)} | {f"loss/{n}": x for n, x in zip(names, losses, strict=True)}

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"The loss at step {self.step} is {loss}. Lower learning_rate, and run the command again to "
                "resume from the last checkpoint."
            )
        return loss

    def _save(self, pool: ThreadPoolExecutor, *, validate: bool) -> Path:
        """Write the state and the model, with their losses if steps were done since the last checkpoint."""
        if self._steps_since_saved:
            means = (self._since_saved / self._steps_since_saved).tolist()
            training = self._finite(sum(means))
            validation = self._validate(pool) if validate and self._data.validation.chunks else None
            self.losses.append({"step": self.step, "training": means, "validation": validation})
            self._since_saved.zero_()
            self._steps_since_saved = 0
            self._listener.on_checkpoint(self.step, training, None if validation is None else sum(validation))
        record = {**self._record, "step": self.step, "losses": self.losses}
        state = TrainingState(self.step, self._networks.variables, self._optimizer.state_dict(), record)
        save_state(self._folder / STATES, state)
        arrays, values = self._networks.arrays(), self._configuration.values
        return export_model(self._folder, self.step, arrays, values, record)

    def _validate(self, pool: ThreadPoolExecutor) -> list[float]:
        """Compute and log the loss of each stem on the validation songs."""
        data, size = self._data.validation, self._configuration.batch_size
        total = torch.zeros_like(self._since_saved)
        with torch.no_grad():
            for batch in validation_batches(data.segments, data.chunks, size, pool):
                total += len(batch) * self._losses(batch)
        losses: list[float] = (total / len(data.chunks)).tolist()
        with EventFile(self._folder / _LOGS / "validation") as log:
            log.add(self.step, self._named(losses))
        self._next_validation = time.monotonic() + self._configuration.throttle_secs
        return losses


def _optimizer(configuration: TrainingConfiguration, networks: TorchNetworks) -> torch.optim.Optimizer:
    """Create the optimizer with TensorFlow's default constants."""
    variables, rate = networks.trained(), configuration.learning_rate
    if configuration.optimizer == "Adadelta":  # official Spleeter ignores learning_rate here
        return torch.optim.Adadelta(variables, lr=1e-3, rho=0.95, eps=1e-8)
    if configuration.optimizer == "SGD":
        return torch.optim.SGD(variables, lr=rate)
    return torch.optim.Adam(variables, lr=rate, betas=(0.9, 0.999), eps=1e-8)

"""What a run is trained on: one process on a CPU or a GPU, or several under torchrun, Slurm or ``--devices``."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import sleep
from typing import TYPE_CHECKING, Any

import torch

from evglif.settings.machine import ACCELERATORS, LOGS
from preprocessing.apart import end_with
from preprocessing.workers import WorkerDiedError, WorkerError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LAST_OPERATION_S = 0.2
_CONNECT_S = 5.0
_LAUNCHER = "lightning_fabric.strategies.launchers.subprocess_script"


@dataclass(frozen=True)
class Machine:
    """Where and how a recipe is run; none of it changes what a run of as many processes learns.

    Attributes:
        accelerator: ``"cuda"``, ``"cpu"``, or ``"auto"``: the first where there is one. ``"mps"``, the GPU of an Apple
            processor, runs neurons as a plain loop over time.
        devices: processes on this node, one a GPU; None for one, or as many as torchrun or Slurm started.
        num_nodes: nodes; None for one, or as many as torchrun or Slurm started.
        data_on_device: keep the whole training and validation split on the device, as integers.
        graphs: do training steps as a whole, recorded as a CUDA graph; None for where it is known to be safe.
        threads: of the processor; None for as many as the network's layers are worth, see ``evglif.threads``. Torch's
            own number is left to several processes, which share a machine, and to GPUs.
        pages: draw the pictures of a finished run and write its page; without, the same run with them makes them later.
        log: ``"csv"`` writes ``metrics.csv`` alone, ``"tensorboard"`` also files for TensorBoard; ``"auto"`` is the
            second where TensorBoard is installed.

    Raises:
        ValueError: naming the value that is out of range.
    """

    accelerator: str = "auto"
    devices: int | None = None
    num_nodes: int | None = None
    data_on_device: bool = False
    graphs: bool | None = None
    threads: int | None = None
    pages: bool = True
    log: str = "auto"

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise ValueError(f"unknown accelerator {self.accelerator!r}; choose one of {', '.join(ACCELERATORS)}")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise ValueError("accelerator cuda: torch sees no GPU here; choose cpu, or install torch for CUDA")
        if self.accelerator == "mps":
            self._check_mps()
        for name in ("devices", "num_nodes", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.log not in LOGS:
            raise ValueError(f"unknown log {self.log!r}; choose one of {', '.join(LOGS)}")
        if self.log == "tensorboard" and not find_spec("tensorboard"):
            raise ValueError("log tensorboard: it is not installed; pip install 'evglif[tensorboard]', or choose csv")

    def _check_mps(self) -> None:
        if not torch.backends.mps.is_available():
            raise ValueError("accelerator mps: torch sees no GPU of an Apple processor here; choose cpu")
        if self.data_on_device:
            raise ValueError("data_on_device is for cuda and cpu: mps knows no unsigned 16-bit integers; leave it out")

    @property
    def tensorboard(self) -> bool:
        """Whether files for TensorBoard are written."""
        return self.log != "csv" and find_spec("tensorboard") is not None

    @property
    def device(self) -> str:
        """``"cuda"``, ``"cpu"`` or ``"mps"``."""
        found = "cuda" if torch.cuda.is_available() else "cpu"
        return found if self.accelerator == "auto" else self.accelerator


def launched(machine: Machine, precision: str) -> Fabric:
    """Lightning's Fabric with its processes started and connected; this process goes on as one of them.

    Args:
        machine: where the run is to be.
        precision: as in a recipe.

    Raises:
        ValueError: where torchrun or Slurm started another number of processes than ``machine`` says, or the precision
            is not one of the device.
        WorkerError: where processes of this node could not reach one another.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger(_LAUNCHER).setLevel(logging.INFO)  # it ends all at once when one has died, and says so
    devices, num_nodes = processes(machine)
    if devices > 1 and num_nodes == 1 and not _started_by_others():
        _make_sure_of_loopback()
        if not is_first():
            threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    fabric = Fabric(
        accelerator=machine.device,
        strategy="ddp" if devices * num_nodes > 1 else "auto",
        devices=devices,
        num_nodes=num_nodes,
        precision=_precision(precision, machine.device),
    )
    fabric.launch()
    return fabric


def is_first() -> bool:
    """Whether this is the one process that writes, as far as what started it has said; true where nothing did."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"))


@contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """Do what all processes do together: where one of them ends, the others do too, and the first says so.

    Raises:
        WorkerDiedError: in the first process, of another that ended, or with which there is no connection.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not _is_of_connection(error):
            raise
        if not is_first():
            raise SystemExit(1) from error
        cause = re.sub(r"^\[\S+\] ", "", str(error).strip().splitlines()[-1]).partition(". ")[0]
        raise WorkerDiedError(
            f"one of {fabric.world_size} processes ended, or they cannot reach one another ({cause}); the same command "
            "goes on after the last whole epoch"
        ) from error
    finally:
        _disconnect()


def _is_of_connection(error: RuntimeError) -> bool:
    from torch import distributed

    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)


def _disconnect() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        # Gloo frees its last operation on a thread that needs the interpreter's lock, and the end of the group waits
        # for that thread with the lock in hand: on a busy machine a process was seen to hang there. Here it is free.
        sleep(_LAST_OPERATION_S)
        distributed.destroy_process_group()


def processes(machine: Machine) -> tuple[int, int]:
    """Processes on this node, and nodes; raises as ``launched``."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    found = 1, 1
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        found = local, int(os.environ["WORLD_SIZE"]) // local
    elif SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        found = int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    wanted = machine.devices or found[0], machine.num_nodes or found[1]
    if found not in ((1, 1), wanted):
        raise ValueError(
            f"{found[0]} processes on each of {found[1]} nodes were started, but --devices and --num-nodes say "
            f"{wanted[0]} and {wanted[1]}; leave both out"
        )
    return wanted


def _started_by_others() -> bool:
    """Whether torchrun or Slurm started the processes, and not the first of them."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return TorchElasticEnvironment.detect() or SLURMEnvironment.detect()


def _make_sure_of_loopback() -> None:
    """Processes of one node meet at 127.0.0.1, and torch would try that for half an hour."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=_CONNECT_S).close()
    except OSError as error:
        raise WorkerError(
            f"several processes talk to each other over 127.0.0.1, which cannot be reached here ({error}): bring it up "
            "(ip link set lo up), or train with --devices 1"
        ) from error


def _precision(name: str, device: str) -> Any:
    if name == "auto":
        name = "fp16" if device == "cuda" else "fp32"
    if name == "fp16" and device == "cpu":
        raise ValueError("precision fp16 is for GPUs; choose bf16 or fp32 on a CPU")
    if name != "fp32" and device == "mps":
        raise ValueError(f"precision {name} is not for mps; choose fp32")
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[name]

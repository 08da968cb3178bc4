"""How many cores this process may use, how it is kept to one thread, and how its children start."""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

BLAS = {"numpy": "numpy", "scipy": "scipy.linalg.blas"}
"""Libraries that bring an OpenBLAS each, and the module that calls it."""
IMPORT_BYTES, BLAS_BYTES, BLAS_SIDE = 2**28, 2**26, 300
"""More than loading the module takes, and than the buffer; the side of square matrices for which this is needed."""
_reserved: set[str] = set()
CGROUP = Path("/sys/fs/cgroup")
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of a worker."""
LIMITED = {"numpy", "scipy", "sklearn", "torch"}
"""Libraries that compute in threads."""
_limited: ContextVar[set[str]] = ContextVar("limited", default=set())  # noqa: B039 (it is not changed)
"""Those of them that are kept to one thread already."""


def usable_cores(cgroup: Path = CGROUP) -> int:
    """The cores that the scheduler and a container's quota (cgroup v2) allow this process; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no group, or its quota is "max"
        return cores


def reserve_blas(libraries: Container[str]) -> None:
    """Has numpy's and scipy's OpenBLAS, if they are among the libraries, take their buffers (32 MiB each) now.

    OpenBLAS takes memory when it is loaded, and its buffer for the first large product. If the system refuses it, it
    asks again without end. Raises OSError (no memory) instead.
    """
    for name, module in BLAS.items():
        if name in libraries and name not in _reserved:
            if module not in sys.modules:
                mmap.mmap(-1, IMPORT_BYTES).close()
            blas, square = importlib.import_module(module), [[1.0] * BLAS_SIDE] * BLAS_SIDE
            mmap.mmap(-1, BLAS_BYTES).close()
            blas.matmul(square, square) if name == "numpy" else blas.dgemm(1.0, square, square)
            _reserved.add(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, numpy and torch use one thread: the last bits of products would depend on the number of cores.

    Inside another such block it does nothing, unless a library was loaded meanwhile: to look for them takes 2 ms.
    """
    loaded = LIMITED & sys.modules.keys()
    if _limited.get() == loaded:
        yield
        return
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    threads, token = torch.get_num_threads() if torch else 1, _limited.set(loaded)
    try:
        if torch:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        _limited.reset(token)
        if torch:
            torch.set_num_threads(threads)


@contextmanager
def clean_children() -> Iterator[None]:
    """Processes that start meanwhile do not import the main module, nor do they get a terminal's Ctrl-C."""
    main, mask = sys.modules["__main__"], signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

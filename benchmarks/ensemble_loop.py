"""How the members of an ensemble run on a CPU: loops over batches of several sizes, and bmm.

    OMP_NUM_THREADS=1 python benchmarks/ensemble_loop.py [--hidden 64 128] [--repeats 5]

Prints pixel-years per second (24 windows of 45 days, all members) of each arrangement, the
median of alternating repeats (A B A B), on one thread. "product" is the Ensemble itself, with
scaling, padding and unscaling; the others get scaled drivers and give scaled fluxes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from upscale.network.ensemble import Ensemble, load_ensemble
from upscale.network.networks.tamrl import TamRl
from upscale.testing.releases import fake_release

FEATURES = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")
WINDOWS_PER_YEAR = 365 / 15


def loop_time_major(networks: list[TamRl], x: Tensor, z: Tensor) -> None:
    """Every member over one batch, time first."""
    days = x.transpose(0, 1).contiguous()
    for member, network in enumerate(networks):
        network.decode_days(days, network.generate(z[member]))


def loop_batch_first(networks: list[TamRl], x: Tensor, z: Tensor) -> None:
    """Every member over one batch, the LSTM told that rows come first."""
    for member, network in enumerate(networks):
        film = network.generate(z[member])
        lstm = network.decoder
        lstm.batch_first = True
        states, _ = lstm(x * film.gamma1[:, None] + film.beta1[:, None])
        lstm.batch_first = False
        network.heads(states * film.gamma2[:, None] + film.beta2[:, None])


def loop_written_out(networks: list[TamRl], x: Tensor, z: Tensor) -> None:
    """Every member, the LSTM written out: one product over all days, then one for each day."""
    days = x.transpose(0, 1).contiguous()
    for member, network in enumerate(networks):
        film, lstm = network.generate(z[member]), network.decoder
        gates = torch.nn.functional.linear(
            days * film.gamma1 + film.beta1, lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0
        )
        states = _steps(gates, partial(_times, lstm.weight_hh_l0.t()))
        network.heads(states * film.gamma2 + film.beta2)


def stacked_bmm(networks: list[TamRl], x: Tensor, z: Tensor) -> None:
    """All members in one batched matrix product for each day."""
    films = [network.generate(z[m]) for m, network in enumerate(networks)]
    days = x.transpose(0, 1)
    inputs = torch.stack([days * film.gamma1 + film.beta1 for film in films], 1)
    w_in = torch.stack([network.decoder.weight_ih_l0.t() for network in networks])
    w_state = torch.stack([network.decoder.weight_hh_l0.t() for network in networks])
    states = _steps(torch.matmul(inputs, w_in), partial(_times, w_state))
    for member, (network, film) in enumerate(zip(networks, films, strict=True)):
        network.heads(states[:, member] * film.gamma2 + film.beta2)


def _times(weight: Tensor, h: Tensor) -> Tensor:
    return h @ weight


def _steps(gates: Tensor, recur: Callable[[Tensor], Tensor]) -> Tensor:
    """States of a hand-written LSTM from its input gates `(day, ..., 4 hidden)`."""
    h = c = gates.new_zeros(*gates.shape[1:-1], gates.shape[-1] // 4)
    states = []
    for today in gates:
        i, f, g, o = (today + recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return torch.stack(states)


ARRANGEMENTS = {
    "loop, time first": loop_time_major,
    "loop, rows first": loop_batch_first,
    "loop, cell written out": loop_written_out,
    "bmm over members": stacked_bmm,
}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def candidates(ensemble: Ensemble, rows: int, batch: int) -> dict[str, Callable[[], None]]:
    """Each arrangement as a call that decodes `rows` rows in batches."""
    rng = np.random.default_rng(0)
    raw = rng.normal(100, 50, (rows, 45, len(FEATURES))).astype(np.float32)
    z = rng.normal(size=(ensemble.members, rows, ensemble.latent)).astype(np.float32)
    x, zs = torch.from_numpy(ensemble.scaler.scale(raw)), torch.from_numpy(z)
    networks = ensemble._networks

    def run(arrangement: Callable[[list[TamRl], Tensor, Tensor], None]) -> None:
        with torch.inference_mode():
            for first in range(0, rows, batch):
                part = slice(first, first + batch)
                arrangement(networks, x[part], zs[:, part])

    calls = {name: partial(run, a) for name, a in ARRANGEMENTS.items()}
    return calls | {"product": lambda: ensemble.decode(raw, z)}


def report(hidden: int, batch: int, rows: int, repeats: int) -> None:
    """Time every arrangement in turn, `repeats` times, and print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        release = fake_release(Path(folder) / "fake", FEATURES, members=3, hidden=hidden)
    calls = candidates(load_ensemble(release, "cpu", batch), rows, batch)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            spent = seconds(call)
            if repeat:
                times[name].append(spent)
    for name, each in times.items():
        rate = rows / WINDOWS_PER_YEAR / statistics.median(each)
        spread = (max(each) - min(each)) / statistics.median(each)
        print(f"{hidden:6d} {batch:6d}  {name:24s} {rate:8.0f} px-yr/s  spread {spread:4.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 256, 512, 2048])
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    choice = parser.parse_args()
    torch.set_num_threads(1)
    print("hidden  batch  arrangement (3 members, one thread)")
    for hidden in choice.hidden:
        for batch in choice.batch:
            report(hidden, batch, choice.rows, choice.repeats)


if __name__ == "__main__":
    main()

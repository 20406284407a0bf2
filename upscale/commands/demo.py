"""`upscale demo`: the whole service on a synthetic planet, from drivers to checked maps."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from upscale.commands.arguments import grid_names, model_names, out_of
from upscale.commands.steps import finish, predict
from upscale.drivers.cube import DriverError, open_cube
from upscale.engine.config import Run, parse_run
from upscale.engine.validate import validate
from upscale.grid import load_grid
from upscale.jobs.ledger import beside
from upscale.jobs.settings import ConfigError
from upscale.network.releases.release import load_release
from upscale.planet import meteo, reflectance
from upscale.planet.cube import write_planet
from upscale.product.cube import open_flux_group
from upscale.product.plots import plot_cube
from upscale.stores.files import write_whole

EXAMPLES = (
    "upscale demo",
    "upscale demo --out planet --model tamrl-met-v1",
    "upscale demo --out quick --grid global-2p0",
)

#: Title of the flux cube of a demonstration.
DEMO = "Daily terrestrial carbon fluxes of a demonstration"


@dataclass(frozen=True)
class DemoPlanet:
    """The planet of the demonstration: two years of drivers, of which the second is mapped.

    meteorology, satellite: the variables that its driver cube holds.
    """

    grid: str = "global-1p0"
    nodes: str = "nodes-2p0"
    start: dt.date = dt.date(2011, 1, 1)
    first: dt.date = dt.date(2012, 1, 1)
    last: dt.date = dt.date(2012, 12, 31)
    tile: int = 30
    seed: int = 0
    meteorology: tuple[str, ...] = meteo.NAMES
    satellite: tuple[str, ...] = ("ndvi", "evi", "nirv", "fapar")

    def with_drivers_of(self, features: tuple[str, ...]) -> DemoPlanet:
        """The same world, with the additional drivers that a model reads."""
        more = tuple(name for name in meteo.MORE if name in features)
        seen = tuple(n for n in reflectance.NAMES if n in features and n not in self.satellite)
        return replace(self, meteorology=self.meteorology + more, satellite=self.satellite + seen)


def planet_on(grid: str) -> DemoPlanet:
    """The planet on a grid, in tiles a sixth of its height, so that the loop has some to do."""
    return DemoPlanet(grid=grid, tile=max(1, load_grid(grid).rows // 6))


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the demonstration goes; default: demo."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model release.", autocompletion=model_names)
    ] = "tamrl-v2",
    grid: Annotated[
        str,
        typer.Option(
            help="Grid of the planet; global-2p0 has a quarter of the cells.",
            autocompletion=grid_names,
        ),
    ] = "global-1p0",
    old_out: Annotated[Path | None, typer.Option("--folder", hidden=True)] = None,
) -> None:
    """Make a planet, map its carbon fluxes, check them and draw them."""
    folder = out_of(out, old_out, "--folder") or Path("demo")
    console, start = Console(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    world = planet_on(grid).with_drivers_of(load_release(model).scaler.names)
    _make_planet(folder / "drivers.zarr", world, console)
    run = parse_run(_run(folder, model, world), "demo")
    _clear_older(run, console)
    checked = validate(run)
    console.print(f"run    {checked.plan.job.layout.describe()}", highlight=False)
    outcome = predict(checked)
    if not outcome.done:
        console.print("run    every work item was in the ledger: nothing was computed again")
    report = finish(checked, outcome, start, Console(stderr=True))
    pictures = plot_cube(checked.run.output.store, folder)
    summary = report.to_dict() | {"seconds_in_all": round(time.monotonic() - start, 1)}
    write_whole(folder / "report.json", json.dumps(summary, indent=1, sort_keys=True))
    _tell(folder, pictures, time.monotonic() - start, console)


def _make_planet(path: Path, world: DemoPlanet, console: Console) -> None:
    """Write the drivers of the planet, unless the same planet is there already."""
    if _is_made(path, world):
        console.print(
            f"planet {path} is there already and is kept", highlight=False, soft_wrap=True
        )
        return
    console.print(f"planet {path}: two years of drivers on {world.grid}", highlight=False)
    older = _attributes(path)
    write_planet(
        str(path),
        load_grid(world.grid),
        load_grid(world.nodes),
        (world.start, world.last),
        seed=world.seed,
        satellite=world.satellite,
        meteorology=world.meteorology,
        tile=world.tile,
        overwrite=bool(older.get("synthetic")) and "planet_seed" in older,
    )


def _attributes(path: Path) -> dict[str, Any]:
    """Root attributes of a finished driver cube, none where there is none."""
    try:
        return dict(open_cube(str(path)).attributes)
    except DriverError:
        return {}


def _clear_older(run: Run, console: Console) -> None:
    """Remove the store of an older demonstration (another model or planet), and nothing else."""
    store = Path(run.output.store)
    try:
        found = dict(open_flux_group(str(store)).attrs)
    except ValueError:
        return
    try:
        validate(run)
    except ConfigError:
        if not (found.get("synthetic") and DEMO in str(found.get("title"))):
            raise
        console.print(f"run    {store} is from an older demonstration and is made again")
        for suffix in ("ledger", "context.zarr"):
            shutil.rmtree(beside(str(store), suffix), ignore_errors=True)
        shutil.rmtree(store)


def _is_made(path: Path, world: DemoPlanet) -> bool:
    """Whether the planet at `path` is finished and matches the request."""
    try:
        cube = open_cube(str(path))
    except DriverError:
        return False
    if not set(cube.variables) >= {*world.meteorology, *world.satellite}:
        return False
    same_days = cube.last - cube.first == (world.last - world.start).days
    same = cube.attributes.get("planet_seed") == world.seed and cube.grid == load_grid(world.grid)
    return same and same_days and cube.attributes["tile"] == world.tile


def _run(folder: Path, model: str, world: DemoPlanet) -> dict[str, Any]:
    return {
        "model": model,
        "drivers": str(folder / "drivers.zarr"),
        "period": {"start": world.first, "end": world.last},
        "output": {"store": str(folder / "fluxes.zarr"), "title": DEMO},
        "interval": 10,
    }


def _tell(folder: Path, pictures: list[Path], spent: float, console: Console) -> None:
    console.print(f"\n[bold]done in {spent:.0f} s[/bold]; this is a synthetic planet, not Earth")
    lines = {
        folder / "fluxes.zarr": "daily GPP, RECO and NEE: xarray.open_zarr(...)",
        folder / "drivers.zarr": "the drivers they were made from",
        folder / "report.json": "what was computed, how fast, global totals",
        **dict.fromkeys(pictures, "picture"),
    }
    for path, what in lines.items():
        console.print(f"  {path}  {what}", highlight=False, soft_wrap=True)

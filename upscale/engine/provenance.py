"""What a flux cube says of itself: title, sources, digests, the sign of its fluxes."""

from __future__ import annotations

import json
from typing import Any

from upscale.calendar import date_of
from upscale.drivers.cube import DriverCube
from upscale.drivers.preliminary import in_words
from upscale.engine.config import Run
from upscale.engine.plan import RunJob
from upscale.network.releases.citations import paper_of
from upscale.network.releases.release import Release
from upscale.version import __version__

TITLE = "Daily terrestrial carbon fluxes (GPP, RECO, NEE)"

#: What every flux is, and how totals are made.
COMMENT = (
    "Fluxes are grams of carbon per square metre of land and day. NEE is positive where land "
    "releases carbon, as eddy covariance measures it: without fire, harvest and lateral "
    "transport. It is predicted by itself, and RECO - GPP differs from it by a small residual. "
    "A total is the sum of flux x areacella x sftlf / 100."
)


#: Global attributes that a run writes itself; RUN.yaml may not replace them.
RESERVED = frozenset(
    (
        "Conventions", "kind", "layout", "complete", "initialised", "synthetic", "source",
        "comment", "config", "date_created", "history", "held_out_clusters",
        "learned_sites", "learned_places", "upscale_version",
        "model_name", "model_digest", "model_day_definition", "driver_title", "driver_digest",
        "run_digest", "day_definition", "rules", "context_until", "revision",
        "revision_in_the_making", "revision_days", "revision_tiles",
        "weather_preliminary",
    )
)  # fmt: skip


def other_days(release: Release, drivers: str) -> list[str]:
    """What to tell of drivers that count days otherwise than those of the training.

    drivers: their `day_definition`, local-standard or utc.
    """
    trained = release.manifest.day_definition
    if trained == drivers:
        return []
    return [
        f"the model was trained on {trained} days and the drivers count {drivers} days; the "
        "difference is recorded in the attributes of the fluxes"
    ]


def attributes_of(run: Run, job: RunJob, release: Release, cube: DriverCube) -> dict[str, Any]:
    """Global attributes of CF-1.11 and ACDD-1.3, and the provenance of the run.

    They follow from the run, its model and its drivers alone, but for `date_created` and
    `history`.
    """
    manifest, planet = release.manifest, planet_of(cube.synthetic)
    return {
        "title": f"{planet}{run.output.title or TITLE}",
        "summary": (
            f"{planet}Gross primary productivity, ecosystem respiration and net ecosystem "
            f"exchange of carbon, daily on {job.layout.describe()}, predicted by "
            f"{release.members} members of {manifest.name} from daily drivers."
        ),
        "keywords": "carbon cycle, GPP, ecosystem respiration, NEE, eddy covariance, upscaling",
        "source": f"{manifest.name} driven by: {cube.attributes['title']}",
        "comment": COMMENT,
        "synthetic": cube.synthetic,
        "day_definition": cube.day_definition,
        **model_attributes(release),
        "driver_title": str(cube.attributes["title"]),
        "driver_digest": cube.digest,
        "weather_preliminary": in_words(cube.series["meteo"], job.layout.first, job.layout.count),
        "run_digest": job.digest,
        "rules": job.rules,
        "context_until": str(date_of(job.until)),
        "config": json.dumps(_config(run, job, manifest.name), sort_keys=True),
        "cdm_data_type": "Grid",
        "processing_level": "L4",
        "product_version": __version__,
        **run.output.attributes,
    }


def _config(run: Run, job: RunJob, model: str) -> dict[str, Any]:
    """What decides the numbers, as RUN.yaml could say it for one run from scratch."""
    science = run.science()
    context = science["context"] | {"until": str(date_of(job.until))}
    return science | {"model": model, "context": context}


def planet_of(synthetic: bool) -> str:
    """What stands before the title of fluxes of a planet that was made up."""
    return "Synthetic planet (not Earth): " if synthetic else ""


def model_attributes(release: Release) -> dict[str, Any]:
    """Global attributes that follow from the model: its name, digest, paper, what it learned."""
    manifest = release.manifest
    return {
        "references": paper_of(manifest.model),
        "model_name": manifest.name,
        "model_digest": release.digest,
        "model_day_definition": manifest.day_definition,
        "held_out_clusters": list(manifest.held_out),
        "learned_sites": list(manifest.learned),
        "learned_places": [f"{p.lat:.5f} {p.lon:.5f}" for p in manifest.learned_places],
        "upscale_version": __version__,
    }

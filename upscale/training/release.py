"""From TRAIN.yaml to a model release: split, train the members, score them, write the folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from upscale.evaluation.left_out import LeftOut, closure_of, skill_of, write_left_out
from upscale.evaluation.model_names import SEASONAL_CYCLE
from upscale.evaluation.skill import SkillRow, skill_csv, skill_table, summary
from upscale.evaluation.tower_model import Predict, score
from upscale.jobs.progress import Say
from upscale.network.boosting.trees import TREES
from upscale.network.moments import clipped
from upscale.network.releases.manifest import LearnedPlace
from upscale.network.releases.release import (
    ContextSpec,
    Release,
    ReleaseSpec,
    WindowSpec,
    save_release,
)
from upscale.network.releases.resolve import CARD, MANIFEST
from upscale.stores.files import write_whole
from upscale.towers.digest import data_digest
from upscale.towers.splits import Split
from upscale.towers.table import Tower, read_sites, read_towers
from upscale.training.baselines import fit_boosted_trees, fit_seasonal_cycle
from upscale.training.card import citations, write_card
from upscale.training.config import TrainConfig, stages_of
from upscale.training.crossvalidate import cross_validate
from upscale.training.material import Material, prepare, rules, with_good_days
from upscale.training.networks.curve_figure import plot_curves
from upscale.training.networks.curves import CURVES, FIGURE, curve_csv, curve_table
from upscale.training.networks.progress import Watcher
from upscale.training.trained import Trained, tower_model_of, train_model
from upscale.training.uncertainty import add_uncertainty
from upscale.version import __version__

#: What a release is set against in cross-validation.
BASELINES = ("xgboost", "lightgbm", SEASONAL_CYCLE)


def train_release(config: TrainConfig, say: Say = print, watcher: Watcher | None = None) -> Release:
    """Train, score and write the release of a configuration; returns it loaded.

    say: called with one line at a time; watcher: told of every epoch, by default in lines.
    What is trained is kept in `work_folder(config)` until the release is written: the same
    call goes on from there. Beside the release lie `curves.csv` and `curves.png`. With
    `config.cross_validation` the skill is that of models which never saw a tower's cluster, and
    the release gets its calibration and its area of applicability from them.
    """
    towers = with_good_days(read_towers(config.data))
    material = prepare(config, towers)
    say(_split_line(material.split))
    work = work_folder(config)
    trained = train_model(config, material, say, watcher, work)
    left_out = _leave_out(config, towers, say, work)
    rows = skill_of(left_out) if left_out else score_release(config, towers, material, trained, say)
    table = skill_table(rows)
    closure = closure_of(left_out, config.model) if left_out else None
    spec = _spec(config, material, table, trained, closure)
    sites = read_sites(config.data)
    card = write_card(spec, config.card, material.split, sites, table)
    release = save_release(config.out, spec, trained.members, card, skill_csv(table))
    if left_out:
        release = add_uncertainty(release, left_out, towers)
        card = write_card(release.spec, config.card, material.split, sites, table)
        write_whole(config.out / CARD, card)
    if trained.curves:
        write_curves(config.out, config.name, curve_table(trained.curves, trained.seeds))
    shutil.rmtree(work, ignore_errors=True)
    say(f"wrote {config.out} ({release.digest[:12]})")
    return release


def plan_lines(config: TrainConfig) -> list[str]:
    """What `train_release` would do, as lines of text; reads the towers and writes nothing."""
    towers = with_good_days(read_towers(config.data))
    material, out = prepare(config, towers), config.out
    stages = ", ".join(
        f"{name} of at most {stage.epochs} epochs" for name, stage in stages_of(config)
    )
    folds = config.cross_validation
    members = f"{config.members} members of {config.model}"
    return [
        _split_line(material.split),
        f"features: {', '.join(config.features)}",
        members if config.model in TREES else f"{members}, each in stages: {stages}",
        f"judged by cross-validation in {folds} folds" if folds else "judged at towers held out",
        f"{out}: {'a release is there and would be replaced' if _is_release(out) else 'new'}",
    ]


def _is_release(folder: Path) -> bool:
    """Whether a release lies in a folder."""
    return (folder / MANIFEST).is_file()


def _leave_out(config: TrainConfig, towers: Sequence[Tower], say: Say, work: Path) -> list[LeftOut]:
    """All towers, predicted by models that never saw their clusters; none where not asked for.

    They are kept beside the release, for `upscale evaluate --left-out`.
    """
    if not config.cross_validation:
        return []
    models = dict.fromkeys((config.model, *BASELINES))
    left_out = cross_validate(config, towers, tuple(models), config.cross_validation, say, work)
    write_left_out(left_out_folder(config), left_out)
    return left_out


def left_out_folder(config: TrainConfig) -> Path:
    """Where predictions of left-out towers are kept: `NAME.left-out` beside the release."""
    return config.out.parent / f"{config.out.name}.left-out"


def work_folder(config: TrainConfig) -> Path:
    """Where members are kept while they train: `.NAME.training` beside the release."""
    return config.out.parent / f".{config.out.name}.training"


def write_curves(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write `curves.csv` and `curves.png` into a folder; table: of `curve_table`."""
    write_whole(folder / CURVES, curve_csv(table))
    plot_curves(table, folder / FIGURE, name)


def score_release(
    config: TrainConfig,
    towers: Sequence[Tower],
    material: Material,
    trained: Trained,
    say: Say = print,
) -> list[SkillRow]:
    """Skill of the ensemble and of both baselines at the towers that none of them saw."""
    say("fitting the baselines")
    cycle = fit_seasonal_cycle(material.learning)
    models: dict[str, Predict] = {
        config.model: tower_model_of(config, trained).predict,
        SEASONAL_CYCLE: lambda tower: clipped(cycle.predict(tower)),
    }
    if config.model != "xgboost":
        trees = fit_boosted_trees(
            material.learning, config.features, config.seed, config.boosting_rounds
        )
        models["xgboost"] = lambda tower: clipped(trees.predict(tower))
    unseen = [tower for tower in towers if tower.site not in material.split.train]
    return list(score(unseen, models, material.split.label))


def _spec(
    config: TrainConfig,
    material: Material,
    table: pd.DataFrame,
    trained: Trained,
    closure: dict[str, float] | None,
) -> ReleaseSpec:
    """The description of the release, as `save_release` takes it."""
    scaler, (window, support) = material.scaler, rules(config)
    return ReleaseSpec(
        name=config.name,
        model=config.model,
        architecture=trained.sizes,
        features=scaler.features,
        fluxes=scaler.fluxes,
        classes=material.classes,
        window=WindowSpec(length=window.length, stride=window.stride),
        context=ContextSpec(rule=config.context, window=support.window),
        training_digest=data_digest(config.data, config.features),
        training_settings=config.model_dump(mode="json", exclude={"data", "out", "card"}),
        code_version=__version__,
        seeds=trained.seeds,
        skill=_headline(table, config.model) | ({"closure": closure} if closure else {}),
        held_out=_never_seen(material, table),
        learned=tuple(tower.site for tower in material.learning),
        learned_places=tuple(
            LearnedPlace(name=t.site, lat=t.lat, lon=t.lon) for t in material.learning
        ),
        citations=citations(read_sites(config.data), config.card.citations, config.model),
    )


def _never_seen(material: Material, table: pd.DataFrame) -> tuple[str, ...]:
    """Clusters that were scored and that the released members did not learn from."""
    learned = {tower.cluster for tower in material.learning}
    return tuple(sorted(set(table["cluster"]) - learned))


def _headline(table: pd.DataFrame, model: str) -> dict[str, dict[str, float]]:
    """Per flux, skill of a model over the towers left out, without suspect ones."""
    mine = table[(table["model"] == model) & (table["split"] != "suspect")]
    numbers = summary(mine).set_index("flux").drop(columns="model").round(4)
    return {
        str(flux): {str(key): float(value) for key, value in row.items()}
        for flux, row in numbers.iterrows()
    }


def _split_line(split: Split) -> str:
    return (
        f"{len(split.train)} towers to learn from, {len(split.test)} held out, "
        f"{len(split.suspect)} suspect"
    )

"""CARD.md: what a release is, what it learned from, how good it is and where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from upscale.evaluation.model_names import TITLES
from upscale.evaluation.skill import summary
from upscale.network.releases.citations import paper_of
from upscale.network.releases.release import ReleaseSpec
from upscale.towers.splits import Split
from upscale.training.config import CardText
from upscale.variables import IGBP, KOPPEN, of_kind

_TITLES = TITLES | {"tamrl-carbonfluxbench": "TAM-RL (released code)"}

_MEMBERS = (
    "Towers are drawn evenly. Each member has a seed of its own and a fold of training clusters "
    "of its own that decides when it stops, so that all members together have learned from every "
    "training tower; `curves.csv` and `curves.png` show every epoch. "
)
_DRAWS = (
    "One row per good flux day; of several members each is fitted on clusters drawn with "
    "replacement. "
)
_STAGES = dict.fromkeys(
    ("tamrl", "tamrl-carbonfluxbench"),
    "Stage 1 trains the decoder alone, stage 2 encoder, generator and decoder from there. ",
)


_SURE = (
    "How often a measured day at a tower of a cluster never seen lies in the central interval. The "
    "spread between members says what they disagree about, which is far less than what they get "
    "wrong together; the calibration in `release.yaml` makes intervals of it that hold "
    "(docs/explanation/uncertainty.md). The same release says from which distance to its training "
    "towers on it is extrapolating.\n"
)


def write_card(
    spec: ReleaseSpec, text: CardText, split: Split, sites: pd.DataFrame, table: pd.DataFrame
) -> str:
    """The card of a release as Markdown.

    split: of the towers; sites: their table; table: skill rows of all models at the towers
    left out.
    """
    learned = sites[sites["site"].isin(split.train)]
    parts = [
        f"# {spec.name}\n",
        _purpose(spec),
        "## Skill at towers never seen\n",
        _skill(spec, table, split, sites),
        *_sureness(spec),
        "## Where not to trust it\n",
        _bullets([*_limits(spec, learned), *text.failures]),
        "## What it learned from\n",
        _data(spec, sites, split),
        "## How it was trained\n",
        _training(spec),
        "## What was tried, and what did not help\n",
        _bullets(text.tried or ("nothing is recorded",)),
        "## Licences and citations\n",
        _licences(sites),
        _bullets(spec.citations),
    ]
    return "\n".join(parts)


def citations(
    sites: pd.DataFrame, more: Sequence[str] = (), model: str = "tamrl"
) -> tuple[str, ...]:
    """The paper of the model, every source named in the `citation` column (several are parted
    by ` | `), and `more`."""
    named: list[str] = sites["citation"].dropna().tolist() if "citation" in sites else []
    sources = {part.strip() for text in named for part in text.split(" | ")}
    return (paper_of(model), *sorted(sources), *more)


def _purpose(spec: ReleaseSpec) -> str:
    """What the release is and what it reads."""
    features = ", ".join(
        f"`{f.name}` ({f.units}{'' if f.required else ', may be missing'})" for f in spec.features
    )
    return (
        f"An ensemble of {len(spec.seeds)} {_TITLES.get(spec.model, spec.model)} models "
        f"({paper_of(spec.model)}) that gives daily GPP, RECO "
        "and NEE (g of carbon m-2 d-1; NEE positive = release to the atmosphere) of any place "
        f"from daily drivers: {features}, and its IGBP and Koeppen-Geiger classes, each of which "
        "may be unknown. `sw_pot` and `day_length` follow from latitude and day.\n"
    )


def _skill(spec: ReleaseSpec, table: pd.DataFrame, split: Split, sites: pd.DataFrame) -> str:
    """All tables of skill, with how to read them."""
    scored = table[table["split"] != "suspect"]
    return "\n".join(
        [
            "Every tower counts the same, whatever its length; r2 = 1 - SSE / SST, unclipped. "
            "Good flux days on which all models predict. The mean seasonal cycle is the mean over "
            "the training towers of the tower's IGBP class of their own mean by day of the year "
            "(31-day smoothing, half a year shifted in the south). Boosted trees have the "
            "published settings, the same training towers and the same features per day.\n",
            _who_scored(spec, split, scored),
            _summary_table(scored),
            "\nThe same together with the suspect towers, whose own carbon balance or closure is "
            f"implausible ({', '.join(split.suspect) or 'none'}):\n",
            _summary_table(table),
            _closure(spec),
            f"\nBy IGBP class ({_title(spec.model)}, mean RMSE / median r2):\n",
            _class_table(scored[scored["model"] == spec.model], sites, "igbp"),
            f"\nBy Koeppen-Geiger class ({_title(spec.model)}, mean RMSE / median r2):\n",
            _class_table(scored[scored["model"] == spec.model], sites, "koppen"),
            f"\nTower by tower ({_title(spec.model)}, RMSE / r2):\n",
            _tower_table(table, spec.model),
        ]
    )


def _title(model: str) -> str:
    return _TITLES.get(model, model)


def _who_scored(spec: ReleaseSpec, split: Split, scored: pd.DataFrame) -> str:
    """Which towers, and by models that had seen what."""
    folds = spec.training_settings.get("cross_validation")
    if not folds:
        return f"{len(split.test)} towers of clusters left out: {', '.join(split.test)}.\n"
    return (
        f"{scored['tower'].nunique()} towers of {scored['cluster'].nunique()} clusters, by "
        f"{folds}-fold cross-validation over clusters: each tower is predicted by an ensemble of "
        f"{len(spec.seeds)} members that were neither trained nor stopped on its cluster, and by "
        "rivals that did not see it either. The members that are shipped are others: they "
        "learned from all towers but the suspect ones, so no tower of the table is new to them, "
        "and the table tells what to expect elsewhere.\n"
    )


def _closure(spec: ReleaseSpec) -> str:
    closure = spec.skill.get("closure")
    if not closure:
        return ""
    return (
        "\nClosure, the mean absolute NEE - (RECO - GPP) of the ensemble mean after clipping on "
        f"these days, mean over towers: {closure['predicted']:.3f} g m-2 d-1; that of the "
        f"measurements themselves: {closure['measured']:.3f}. NEE has a head of its own.\n"
    )


def _class_table(mine: pd.DataFrame, sites: pd.DataFrame, column: str) -> str:
    classes = dict(zip(sites["site"], sites[column].fillna("unknown"), strict=True))
    lines = ["| class | towers | GPP | RECO | NEE |", "|---|---|---|---|---|"]
    for name, rows in mine.groupby(mine["tower"].map(classes)):
        cells = [
            f"{part['rmse'].mean():.2f} / {part['r2'].median():.2f}"
            for _, part in rows.groupby("flux", sort=False)
        ]
        lines.append(f"| {name} | {rows['tower'].nunique()} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _summary_table(table: pd.DataFrame) -> str:
    """Skill over towers, one line per model and flux."""
    lines = [
        "| model | flux | towers | mean RMSE | r2 lower quartile | r2 median | r2 upper quartile "
        "| r2 below 0 | mean bias |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for _, row in summary(table).iterrows():
        lines.append(
            f"| {_TITLES.get(row.model, row.model)} | {row.flux.upper()} "
            f"| {row.towers:.0f} | {row.rmse:.2f} "
            f"| {row.r2_q25:.2f} | {row.r2_median:.2f} | {row.r2_q75:.2f} "
            f"| {100 * row.negative:.0f} % | {row.bias:+.2f} |"
        )
    return "\n".join(lines)


def _tower_table(table: pd.DataFrame, model: str) -> str:
    mine = table[table["model"] == model]
    lines = ["| tower | split | days | GPP | RECO | NEE |", "|---|---|---|---|---|---|"]
    for site, rows in mine.groupby("tower"):
        cells = [f"{row.rmse:.2f} / {row.r2:.2f}" for row in rows.itertuples()]
        first = rows.iloc[0]
        lines.append(f"| {site} | {first['split']} | {first['n']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _limits(spec: ReleaseSpec, learned: pd.DataFrame) -> list[str]:
    """What follows from the towers that it learned from: one bullet each."""
    igbp, koppen = set(learned["igbp"]), set(learned["koppen"])
    absent = [name for name in IGBP if name not in igbp]
    tropical = int(learned["koppen"].str.startswith("A").sum())
    return [
        f"{len(igbp & set(IGBP))} of {len(IGBP)} IGBP and {len(koppen & set(KOPPEN))} of "
        f"{len(KOPPEN)} Koeppen-Geiger classes were seen in training; the others are treated as "
        f"unknown. IGBP classes never seen: {', '.join(absent)}.",
        f"{tropical} of {len(learned)} training towers {'is' if tropical == 1 else 'are'} "
        "tropical: maps of the tropics are extrapolation.",
        _what_is_seen(spec),
        "Eddy covariance holds no fire, harvest or lateral transport of carbon.",
        "The drivers of the towers are tower meteorology or reanalysis debiased to the tower; "
        "those of a map are reanalysis alone.",
        "GPP and RECO come from night-time partitioning of NEE and share its errors.",
    ]


def _what_is_seen(spec: ReleaseSpec) -> str:
    """What the satellite series can and cannot tell the model."""
    seen = [f for f in spec.features if f.name in of_kind("satellite")]
    if not seen:
        return (
            "No satellite series enters: harvest, fire, grazing, pests, stand age and irrigation "
            "are not seen."
        )
    names = ", ".join(f"`{f.name}`" for f in seen)
    days = sorted({f.composite_days for f in seen if f.composite_days})
    made = f" as maxima over {' or '.join(map(str, days))} days" if days else ""
    return (
        f"Of the satellite series ({names}{made}) towers have few, and none has all of them: where "
        "a map has them all, the model combines what it learned at different towers. Stand age, "
        "pests and irrigation are seen as far as they change the green of the land."
    )


def _sureness(spec: ReleaseSpec) -> list[str]:
    """The section on calibration and applicability; nothing where the release has neither."""
    if spec.calibration is None:
        return []
    lines = [
        "| flux | interval | days inside, from the spread alone | after calibration |",
        "|---|---|---|---|",
    ]
    for flux in spec.calibration.fluxes:
        for each in flux.coverage:
            lines.append(
                f"| {flux.name.upper()} | {100 * each.level:.0f} % | {100 * each.spread:.0f} % "
                f"| {100 * each.calibrated:.0f} % |"
            )
    return ["## How sure it is\n", _SURE, "\n".join(lines) + "\n"]


def _data(spec: ReleaseSpec, sites: pd.DataFrame, split: Split) -> str:
    """Towers, products and licences that it learned from."""
    learned = sites[sites["site"].isin(split.train)]
    days = int(learned["n_good_days"].sum()) if "n_good_days" in learned else 0
    sources = learned["source"].value_counts() if "source" in learned else pd.Series(dtype=int)
    return (
        f"{len(learned)} towers of {learned['cluster'].nunique()} clusters"
        f"{f' with {days} good flux days' if days else ''}: "
        f"{', '.join(learned['site'])}. "
        f"Products: {', '.join(f'{name} ({count})' for name, count in sources.items())}. "
        "A good flux day has GPP, RECO and NEE and NEE_QC of at least 0.75, or passed the mask "
        "of its product. Days are those of the tower's local standard time. "
        f"Clusters left out: {', '.join(spec.held_out) or 'none'}.\n\n"
        f"sha256 of the training data: `{spec.training_digest}`.\n"
    )


def _training(spec: ReleaseSpec) -> str:
    sizes = ", ".join(
        f"{name.replace('_', ' ')} {n}" for name, n in vars(spec.architecture).items()
    )
    return (
        f"Sizes: {sizes}; windows of {spec.window.length} days of which the last "
        f"{spec.window.stride} are used. {_DRAWS if spec.is_trees else _MEMBERS}"
        f"{_STAGES.get(spec.model, '')}All settings stand in `release.yaml` under "
        f"`training_settings`. Seeds: {', '.join(map(str, spec.seeds))}.\n"
    )


def _licences(sites: pd.DataFrame) -> str:
    counts = sites["licence"].value_counts() if "licence" in sites else pd.Series(dtype=int)
    listed = "; ".join(f"{name}: {count} towers" for name, count in counts.items())
    return f"Weights: Apache-2.0, as the code. Flux data: {listed or 'see the sources'}. Cite:\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) + "\n"

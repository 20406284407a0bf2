"""What models are called, in tables and for people."""

from __future__ import annotations

#: The mean seasonal cycle among the models: no model at all, but what each has to beat.
SEASONAL_CYCLE = "seasonal-cycle"

#: Names of models in figures and reports, by their names in tables.
TITLES = {
    "tamrl": "TAM-RL",
    "tamlstm": "TAMLSTM",
    "ct-lstm": "CT-LSTM",
    "tamrl-carbonfluxbench": "TAM-RL (CarbonFluxBench)",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    SEASONAL_CYCLE: "mean seasonal cycle",
}


def title_of(model: str) -> str:
    """Name of a model for people."""
    return TITLES.get(model, model)

"""What to cite for a model."""

from __future__ import annotations

#: The paper of every network: TAM-RL and the baselines that it is compared with.
PAPER = (
    "Rozanov A., Renganathan A., Kumar V. (2026) Task Aware Modulation using Representation "
    "Learning for Upscaling of Terrestrial Carbon Fluxes, arXiv:2603.09974"
)

_TREES = {
    "xgboost": (
        "Chen T., Guestrin C. (2016) XGBoost: A Scalable Tree Boosting System, "
        "doi:10.1145/2939672.2939785"
    ),
    "lightgbm": (
        "Ke G. et al. (2017) LightGBM: A Highly Efficient Gradient Boosting Decision Tree, "
        "Advances in Neural Information Processing Systems 30"
    ),
}


def paper_of(model: str) -> str:
    """The paper that describes a model (`model` of a release)."""
    return _TREES.get(model, PAPER)

"""Daily global maps of terrestrial carbon fluxes from flux-tower knowledge (TAM-RL).

    import upscale

    release = upscale.open_release("tamrl-v2")
    fluxes = upscale.predict(release, drivers, lat=47.0, igbp="GRA", koppen="Cfb")
    low, high = upscale.interval(fluxes, "gpp", level=0.9)

Each name loads what it needs when it is first used, so that the import itself costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the name that type checkers know: `typing` itself takes time to load
if TYPE_CHECKING:
    from upscale.api.predict import predict
    from upscale.api.releases import open_release
    from upscale.api.runs import evaluate, run
    from upscale.api.stores import interval, open_drivers, open_fluxes, where
    from upscale.api.towers import read_towers
    from upscale.version import __version__

__all__ = [
    "__version__",
    "evaluate",
    "interval",
    "open_drivers",
    "open_fluxes",
    "open_release",
    "predict",
    "read_towers",
    "run",
    "where",
]

#: The module that holds each name.
_HOMES = {
    "__version__": "version",
    "evaluate": "api.runs",
    "interval": "api.stores",
    "open_drivers": "api.stores",
    "open_fluxes": "api.stores",
    "open_release": "api.releases",
    "predict": "api.predict",
    "read_towers": "api.towers",
    "run": "api.runs",
    "where": "api.stores",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'upscale' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"upscale.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, loaded or not."""
    return sorted({*globals(), *__all__})

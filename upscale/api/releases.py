"""Models: the shipped releases, and releases stored elsewhere."""

from __future__ import annotations

from pathlib import Path

from upscale.network.releases.release import Release, load_release


def open_release(model: str | Path) -> Release:
    """Open a trained model.

    Parameters
    ----------
    model : str or Path
        Name of a shipped release, such as ``"tamrl-v2"``, or the folder or URL of one.

    Returns
    -------
    Release
        Weights, scaler and limits, checked against the digests in its ``release.yaml``.

    Raises
    ------
    ReleaseError
        Where the release does not exist, or its files are damaged. A ``ValueError``.

    Examples
    --------
    >>> import upscale
    >>> upscale.open_release("tamrl-v2").manifest.name
    'tamrl-v2'
    """
    return load_release(model)

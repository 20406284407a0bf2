"""Models and their use: networks, trees, releases, scaling, windows and uncertainty."""

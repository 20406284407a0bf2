"""The version of the package, which everything that is written names."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("upscale")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+source"

"""What a file says of the statistic of its variables: attributes, names, bounds, stamps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.formats.grib import STEP_RANGES
from upscale.archives.reanalysis.stamps import stamps_of
from upscale.archives.reanalysis.statistic import (
    BOUNDS,
    CELLS,
    NAMES,
    STEP_TYPE,
    STEPS,
    STREAM,
    WORD,
    ZONE,
    Clue,
    Evidence,
    Method,
    Span,
)
from upscale.calendar import hour_numbers

#: Attribute of a variable with what its file says of it.
EVIDENCE = "evidence"

_METHODS: dict[str, Method] = {
    "point": "instant", "mean": "mean", "average": "mean", "avg": "mean", "averaged": "mean",
    "maximum": "maximum", "max": "maximum", "minimum": "minimum", "min": "minimum", "sum": "sum",
    "total": "sum", "accum": "sum", "accumulated": "sum",
}  # fmt: skip

#: Step types of GRIB. Those of monthly means tell how often the fields below come and what they
#: are; `avgd...`: daily products.
_STEP_TYPES: dict[str, tuple[Method, Span | None]] = {
    "instant": ("instant", None), "accum": ("sum", None), "avg": ("mean", None),
    "max": ("maximum", None), "min": ("minimum", None),
    "avgua": ("mean", "month"), "avgad": ("mean", "month"), "avgas": ("mean", "month"),
    "avgia": ("mean", "month"), "avgid": ("mean", "month"), "avgis": ("mean", "month"),
}  # fmt: skip

#: Streams of the archive that hold means of months.
_STREAMS: dict[str, Span] = {
    "moda": "month", "edmo": "month", "ewmo": "month", "wamo": "month", "msmm": "month",
    "mnth": "hour of a month", "edmm": "hour of a month", "ewmm": "hour of a month",
}  # fmt: skip

_WORD = "mean|average|averaged|avg|maximum|max|minimum|min|sum|total|accumulated|accum"
_DAY = "daily|day|diurnal"
#: Words and names of operators (`daymean`, `monmax`) that state a method of a day or a month.
_STATED: tuple[tuple[str, Span], ...] = (
    (rf"(?:{_DAY})[\W_]*({_WORD})s?(?![a-z])", "day"),
    (rf"(?<![a-z])({_WORD})[\W_]+(?:of the )?(?:daily|day)(?![a-z])", "day"),
    (rf"monthly[\W_]*({_WORD})s?(?![a-z])", "month"),
    (rf"(?<![a-z])(?:y?mon|tim|year|yday|seas)({_WORD})(?![a-z])", "month"),
    (rf"(?<![a-z])({_WORD})[\W_]+(?:of the )?(?:monthly|month)(?![a-z])", "month"),
)
_ZONE = r"utc[\W_]?[+-](\d{2})(?::?[034][05])?(?!\d)"
_EXTREME = r"(?:^|[\W_])(?:t|tas|t2m)?(maximum|max|minimum|min)(?:[\W_\d]|$)"
_STREAM_NAMED = r"stream[^a-z]{1,6}([a-z]{4})(?![a-z])"
_STEP_NAMED = r"steptype[^a-z]{1,4}([a-z]+)"
_LAND = r"era5[\W_]*land"
_PLAIN = r"era5[\W_]*(?:single[\W_]levels|hourly|sl(?![a-z]))"
_TEXTS = ("title", "history", "source", "summary", "description", "product_type", "request")
_UNITS_OF_TIME = ("seconds since 1970-01-01", "hours since 1900-01-01")
_OWN_TEXTS = ("long_name", "description", "comment")


def attach(dataset: xr.Dataset, original: xr.Dataset, file: str) -> xr.Dataset:
    """Give each variable of a dataset `(time, lat, lon)` what its file says of it.

    original: the dataset as it was opened, with its own names of axes. file: its name.
    """
    stamps = stamps_of(hour_numbers(dataset["time"].values))
    named = [("file", PurePosixPath(file.rstrip("/")).name)]
    named += [(key, str(original.attrs[key])) for key in _TEXTS if key in original.attrs]
    bounds = tuple(_bounds(original, dataset))
    derived = _written_later(original)
    for name, array in dataset.data_vars.items():
        own = [(key, str(array.attrs[key])) for key in _OWN_TEXTS if key in array.attrs]
        clues = [*_of_attributes(array, original), *bounds, *_of_names([*named, *own])]
        array.attrs[EVIDENCE] = Evidence(
            str(name), file, stamps, tuple(dict.fromkeys(clues)), _product(named), derived
        )
    return dataset


def evidence_of(array: xr.DataArray) -> Evidence:
    """What the file of a variable says of it."""
    found: Evidence = array.attrs[EVIDENCE]
    return found


def _of_attributes(array: xr.DataArray, original: xr.Dataset) -> Iterator[Clue]:
    yield from _of_cells(str(array.attrs.get("cell_methods", "")), original)
    if "GRIB_stepType" in array.attrs:
        yield _step_type(str(array.attrs["GRIB_stepType"]))
    if "GRIB_stream" in array.attrs:
        yield from _stream(str(array.attrs["GRIB_stream"]))
    spans: dict[str, Span] = {"hour": "hour", "since midnight": "since midnight", "day": "day"}
    if STEP_RANGES in array.attrs:
        said = str(array.attrs[STEP_RANGES])
        yield Clue(STEPS, said, None, spans.get(said, "since the forecast"))


def _step_type(said: str) -> Clue:
    method, span = _STEP_TYPES.get(said, ("other", None))
    return Clue(STEP_TYPE, said, method, span)


def _stream(said: str) -> Iterator[Clue]:
    if said in _STREAMS:
        yield Clue(STREAM, said, "mean", _STREAMS[said])
    elif said == "oper":
        yield Clue(STREAM, said)


def _of_cells(text: str, original: xr.Dataset) -> Iterator[Clue]:
    """Clues of CF `cell_methods` (CF conventions, section 7.3): those of the time axis."""
    words = re.sub(r"\([^)]*\)", " ", text).replace(":", ": ").split()
    axes: list[str] = []
    found: list[tuple[Method, Span | None]] = []
    fresh = True
    for place, word in enumerate(words):
        if word.endswith(":"):
            axes = [word[:-1]] if fresh else [*axes, word[:-1]]
            fresh = False
        elif not fresh:
            fresh = True
            if {"time", "valid_time", "t"} & set(axes):
                found.append((_METHODS.get(word.lower(), "other"), _cell_span(words[place + 1 :])))
    if len({method for method, _ in found}) > 1 or any(span == "month" for _, span in found):
        same = len({method for method, _ in found}) == 1
        yield Clue(CELLS, text, found[0][0] if same else "other", "month")
    elif found:
        yield Clue(CELLS, text, *found[0])


def _cell_span(rest: list[str]) -> Span | None:
    """What `within` and `over` after a method say."""
    if rest[:1] == ["within"]:
        return "day" if rest[1:2] in (["days"], ["day"]) else "other"
    return "month" if rest[:1] == ["over"] else None


def _of_names(texts: Iterable[tuple[str, str]]) -> Iterator[Clue]:
    """Clues in words: names of files, titles, histories, long names."""
    for source, text in texts:
        low = text.lower()
        if source == "file" and "daily" in low:
            yield Clue(WORD, "daily")
        for pattern, span in _STATED:
            for match in re.finditer(pattern, low):
                yield Clue(NAMES, match[0], _METHODS[match[1]], span)
        if "hour_of_day" in low or "hour of day" in low:
            yield Clue(STREAM, "by hour of day", "mean", "hour of a month")
        for match in re.finditer(_STREAM_NAMED, low):
            yield from _stream(match[1])
        for match in re.finditer(_STEP_NAMED, low):
            yield _step_type(match[1])
        for match in re.finditer(_ZONE, low):
            if 0 < int(match[1]) < 15:
                yield Clue(ZONE, match[0], None, "other")
        if source in ("file", "long_name"):
            for match in re.finditer(_EXTREME, low):
                yield Clue(NAMES, match[0].strip("_-. "), _METHODS[match[1]])


def _product(texts: Iterable[tuple[str, str]]) -> str:
    """The product that a name states, "" where none does or two are named."""
    whole = " ".join(text.lower() for _, text in texts)
    land, plain = bool(re.search(_LAND, whole)), bool(re.search(_PLAIN, whole))
    return "" if land == plain else "ERA5-Land" if land else "ERA5"


def _written_later(original: xr.Dataset) -> bool:
    """Whether the time axis has another unit than the files that the archive delivers."""
    axis = next((name for name in ("valid_time", "time") if name in original.variables), "")
    units = str(original[axis].encoding.get("units", "")) if axis else ""
    return bool(units) and not units.startswith(_UNITS_OF_TIME)


def _bounds(original: xr.Dataset, dataset: xr.Dataset) -> Iterator[Clue]:
    """What the bounds of the time axis span, where it has some."""
    axis = next((name for name in ("valid_time", "time") if name in original.variables), "")
    where = original[axis].attrs.get("bounds") or original[axis].encoding.get("bounds", "")
    named = original.variables.get(where) if where else None
    if named is None or named.ndim != 2 or named.dtype.kind != "M" or not named.shape[0]:
        return
    low, high = (named.values[:, end].astype("datetime64[h]").astype(np.int64) for end in (0, 1))
    stamps = np.atleast_1d(hour_numbers(original[axis].values))
    yield Clue(BOUNDS, _interval(low, high), None, _bounded(low, high, stamps))


def _interval(low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
    hours = high - low
    return f"{hours.min()} to {hours.max()} hours from {low[0] % 24:02d} UTC"


def _bounded(
    low: NDArray[np.int64], high: NDArray[np.int64], stamps: NDArray[np.int64]
) -> Span | None:
    """The span of bounds `(stamp,)`; hours must end at their stamps."""
    hours = high - low
    if (hours == 0).all():
        return None
    if (hours == 1).all():
        return "hour" if (high == stamps).all() else "other"
    inside = bool(((low <= stamps) & (stamps < high)).all() and (low % 24 == 0).all())
    if inside and (hours == 24).all():
        return "day"
    if inside and (hours == 23).all():
        return "stamps of a day"
    if (high == stamps).all() and (low == (stamps - 1) // 24 * 24).all():
        return "since midnight"
    return "month" if hours.min() >= 28 * 24 else "other"

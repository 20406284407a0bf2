"""What a number stands for in time: which evidence makes which statistic, and what a driver takes.

A file says it in several ways (`Clue`), its stamps say the rest (`Stamps`). `weigh` weighs them in
this order: bounds of the time axis and ranges of steps of GRIB; `cell_methods`; names (of the file
and its product, in title, history and long names); the step type of GRIB, which in files that were
reduced later is that of the fields below; the definition of the parameter; the spacing of stamps.
Clues that contradict each other prove nothing. What a person states goes before names, never
before the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from upscale.archives.reanalysis.fields import FIELDS, Kind
from upscale.archives.reanalysis.stamps import Stamps, merged

Method = Literal["instant", "mean", "maximum", "minimum", "sum", "other"]
Span = Literal["hour", "since midnight", "since the forecast", "day", "stamps of a day", "month",
               "hour of a month", "other"]  # fmt: skip
Statistic = Literal[
    "instant", "snapshot", "hourly-mean", "hourly-amount", "running-total", "forecast-total",
    "daily-mean", "daily-total", "maximum", "minimum", "monthly", "monthly-by-hour", "unknown",
]  # fmt: skip

Product = Literal["ERA5", "ERA5-Land"]

#: How a product accumulates where its files do not say it.
ACCUMULATES: Mapping[str, Statistic] = {"ERA5": "hourly-amount", "ERA5-Land": "running-total"}

#: What a person may state of a variable.
Stated = Literal["instant", "hourly-mean", "hourly-amount", "running-total", "daily-mean",
                 "daily-total"]  # fmt: skip

#: Each statistic in words.
MEANING: Mapping[Statistic, str] = {
    "instant": "value at each hour",
    "snapshot": "value at some hours alone, which says nothing of the others",
    "hourly-mean": "mean of the hour that ends at the stamp",
    "hourly-amount": "amount of the hour that ends at the stamp",
    "running-total": "amount since 00 UTC; the stamp 00 UTC closes the day before",
    "forecast-total": "amount since the start of a forecast",
    "daily-mean": "mean of the UTC day of the stamp",
    "daily-total": "amount of the UTC day of the stamp",
    "maximum": "maximum of a period",
    "minimum": "minimum of a period",
    "monthly": "statistic of a month or more",
    "monthly-by-hour": "mean of a month for each hour of the day",
    "unknown": "not proven",
}

_MEAN: tuple[Statistic, ...] = ("instant", "hourly-mean", "daily-mean")
_AMOUNT: tuple[Statistic, ...] = ("hourly-amount", "running-total", "daily-total")
_RATE: tuple[Statistic, ...] = ("hourly-mean", "daily-mean")

#: For each driver and variable that it is made of, the statistics that it takes. Vapour pressure
#: deficit and wind speed are not linear in theirs: means of these do not give the mean of a day.
ACCEPTED: Mapping[str, Mapping[str, tuple[Statistic, ...]]] = {
    "ta": {"t2m": _MEAN},
    "sw_in": {"ssrd": _AMOUNT, "avg_sdswrf": _RATE},
    "vpd": {"t2m": ("instant",), "d2m": ("instant",)},
    "p": {"tp": _AMOUNT, "avg_tprate": _RATE},
    "lw_in": {"strd": _AMOUNT, "avg_sdlwrf": _RATE},
    "ws": {"u10": ("instant",), "v10": ("instant",)},
    "pa": {"sp": _MEAN},
}

#: What no statement of a person changes.
_SURE: frozenset[Statistic] = frozenset({"monthly", "monthly-by-hour", "forecast-total"})

#: Statistics with one value a day.
DAILY: frozenset[Statistic] = frozenset({"daily-mean", "daily-total"})


@dataclass(frozen=True)
class Clue:
    """What one source says of a variable: method and span, None where it says nothing of it."""

    source: str
    said: str
    method: Method | None = None
    span: Span | None = None

    def __str__(self) -> str:
        return f"{self.source} {self.said!r}"


@dataclass(frozen=True)
class Evidence:
    """All that one file tells of one variable.

    product: `ERA5` or `ERA5-Land` where a name says it; derived: whether times are counted as the
    archive never does in its files, so that somebody else wrote this one.
    """

    name: str
    file: str
    stamps: Stamps
    clues: tuple[Clue, ...] = ()
    product: str = ""
    derived: bool = False

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Evidence:
        """From plain values, as `asdict` gives them."""
        stamps = content["stamps"] | {"clock": tuple(content["stamps"]["clock"])}
        clues = tuple(Clue(**clue) for clue in content["clues"])
        return cls(**{**content, "stamps": Stamps(**stamps), "clues": clues})

    @property
    def signature(self) -> tuple[Any, ...]:
        """Files with the same one are parts of one series."""
        said = frozenset((clue.source, clue.method, clue.span) for clue in self.clues)
        return said, self.product, self.derived

    def clue(self, *sources: str) -> tuple[Clue, ...]:
        return tuple(clue for clue in self.clues if clue.source in sources)


@dataclass(frozen=True)
class Verdict:
    """A statistic and why it is believed."""

    statistic: Statistic
    why: str

    def __str__(self) -> str:
        return f"{self.statistic} ({self.why})"


#: Sources in the order of their weight; the first two state an interval.
BOUNDS, STEPS = "bounds", "GRIB steps"
CELLS, STREAM, STEP_TYPE, NAMES = "cell_methods", "stream", "GRIB step type", "name"
ZONE, WORD = "time zone", "word"


def weigh(evidence: Evidence, rule: Statistic, stated: Stated | None = None) -> Verdict:
    """The statistic that evidence proves, `unknown` where it proves none.

    rule: how the product accumulates, `running-total` or `hourly-amount`, where nothing else says
    it. stated: what a person says.
    """
    if stated is not None:
        evidence = replace(
            evidence, clues=tuple(c for c in evidence.clues if c.source not in (NAMES, ZONE))
        )
    contradiction = _contradiction(evidence)
    if contradiction:
        return Verdict("unknown", f"{contradiction} contradict each other")
    found = _proven(evidence, rule)
    if stated is None or stated == found.statistic:
        return found
    against = _against(evidence, found, stated)
    if against:
        return Verdict("unknown", f"stated as {stated}, but {against}")
    return Verdict(stated, f"stated; {evidence.stamps.spacing}")


def _contradiction(evidence: Evidence) -> str:
    """Clues of methods that cannot both be true, in words."""
    for sources in ((CELLS,), (NAMES,), (CELLS, NAMES), (STREAM,), (BOUNDS,), (STEPS,)):
        told = [clue for clue in evidence.clue(*sources) if clue.method or clue.span]
        for kind in ("method", "span"):
            said = {getattr(clue, kind): clue for clue in told if getattr(clue, kind)}
            if len(said) > 1 and not (kind == "span" and len(sources) > 1):
                return " and ".join(str(clue) for clue in said.values())
    own = evidence.clue(STEP_TYPE)
    for clue in evidence.clue(CELLS, NAMES):
        if own and clue.method and not _may_follow(own[0].method, clue.method):
            return f"{clue} and {own[0]}"
    return ""


def _may_follow(own: Method | None, method: Method) -> bool:
    """Whether fields of a step type may have been reduced by a method."""
    return own is None or own == method or (own in ("instant", "sum", "mean") and
                                            method not in ("instant", "sum")) or (
        own == "sum" and method == "sum")  # fmt: skip


def _proven(evidence: Evidence, rule: Statistic) -> Verdict:
    """The statistic by what the file says, its stamps and the definition of the parameter."""
    stamps, kind = evidence.stamps, FIELDS[evidence.name].kind
    method, by = _method(evidence, kind)
    span, within = _span(evidence)
    if span == "stamps of a day":  # 00 to 23, which is a day of instants and none of amounts
        span = "day" if kind == "instant" else "other"
    why = "; ".join([*dict.fromkeys(map(str, (*by, *within))), stamps.spacing])
    if method in ("maximum", "minimum"):
        return Verdict("maximum" if method == "maximum" else "minimum", why)
    if span == "month" or "month apart" in stamps.spacing:
        return Verdict("monthly", why)
    if span == "hour of a month" or stamps.spacing == "hours of one day a month":
        return Verdict("monthly-by-hour", why)
    if method == "other" or span == "other":
        return Verdict("unknown", why)
    if method == "sum":
        return Verdict(_sum(evidence, span, rule), why)
    if _may_be_a_month(evidence, span):
        return Verdict("unknown", f"{why}, or a month's mean for each hour")
    if span == "day":
        return Verdict(*_of_a_day(evidence, method, kind, why))
    if method == "instant":
        return Verdict("instant" if stamps.step == 1 else "snapshot", why)
    if stamps.step == 1 and span in (None, "hour"):
        return Verdict("hourly-mean", why)
    if span is None and stamps.spacing == "one stamp a day" and evidence.clue(CELLS):
        return Verdict(*_of_a_day(evidence, method, kind, why))
    return Verdict("unknown", why)


def _method(evidence: Evidence, kind: Kind) -> tuple[Method, tuple[Clue, ...]]:
    """The method and the clues that say it; by the definition of the parameter where none does."""
    for source in (STEPS, CELLS, NAMES, STREAM, STEP_TYPE):
        told = tuple(clue for clue in evidence.clue(source) if clue.method)
        if told and told[0].method:
            return told[0].method, told[:1]
    defined: dict[Kind, Method] = {"instant": "instant", "amount": "sum", "rate": "mean"}
    return defined[kind], ()


def _span(evidence: Evidence) -> tuple[Span | None, tuple[Clue, ...]]:
    for source in (STREAM, STEP_TYPE, BOUNDS, STEPS, ZONE, CELLS, NAMES):
        told = tuple(clue for clue in evidence.clue(source) if clue.span)
        if told:
            return told[0].span, told[:1]
    return None, ()


def _of_a_day(
    evidence: Evidence, method: Method, kind: Kind, why: str
) -> tuple[Statistic, str]:  # fmt: skip
    """A value that is said to be of a day: the stamps must agree, and a total or a mean of hours
    that end at their stamps must say which 24 hours it covers."""
    if evidence.stamps.step % 24 or len(evidence.stamps.clock) > 1:
        return "unknown", f"{why}, not one a day"
    if method != "mean":
        return "unknown", why
    if kind == "amount":
        return "unknown", f"{why}: a mean of amounts"
    if kind == "rate" and not any(clue.span == "day" for clue in evidence.clue(BOUNDS)):
        return "unknown", f"{why}: not said which 24 hours"
    return "daily-mean", why


def _may_be_a_month(evidence: Evidence, span: Span | None) -> bool:
    """Hours of one day that begins a month may be means of that month for each hour."""
    delivered = evidence.clue(STEP_TYPE) and not evidence.derived
    silent = not (span or delivered or evidence.clue(CELLS, STREAM))
    return silent and evidence.stamps.spacing == "hours of one day that begins a month"


def _sum(evidence: Evidence, span: Span | None, rule: Statistic) -> Statistic:
    """How a sum counts."""
    stamps = evidence.stamps
    if span == "since the forecast":
        return "forecast-total"
    if span == "day":
        bounded = any(clue.span == "day" for clue in evidence.clue(BOUNDS))
        said = any(clue.method == "sum" for clue in evidence.clue(CELLS, NAMES))
        return "daily-total" if bounded and said and stamps.step % 24 == 0 else "unknown"
    if _may_be_a_month(evidence, span):
        return "unknown"
    told: dict[Span | None, Statistic] = {
        "hour": "hourly-amount",
        "since midnight": "running-total",
    }
    rule = told.get(span, rule)
    if rule == "hourly-amount":
        return "hourly-amount" if stamps.step == 1 else "snapshot"
    if stamps.step == 1:
        return "running-total"
    if 0 not in stamps.clock:
        return "snapshot"
    # One stamp a day closes a day only in a file of the archive itself: a user's daily sums look
    # the same, but stand for the day that begins there.
    delivered = bool(evidence.clue(STEPS, STEP_TYPE)) and not evidence.derived
    archive = delivered and not evidence.clue(WORD) and stamps.step <= 24
    return "running-total" if archive or span == "since midnight" else "unknown"


def _against(evidence: Evidence, found: Verdict, stated: Stated) -> str:
    """What in a file contradicts what a person states of it, in words."""
    stamps = evidence.stamps
    if found.statistic in _SURE:
        return f"found {found}"
    methods: dict[Stated, set[Method]] = {
        "instant": {"instant"}, "hourly-mean": {"mean"}, "daily-mean": {"mean"},
        "hourly-amount": {"sum"}, "running-total": {"sum"}, "daily-total": {"sum"},
    }  # fmt: skip
    for clue in evidence.clue(STEPS, CELLS):
        if clue.method and clue.method not in methods[stated]:
            return f"found {clue}"
    for clue in evidence.clue(STEP_TYPE):
        if clue.method in ("maximum", "minimum", "other"):
            return f"found {clue}"
    spans: dict[Stated, set[Span]] = {
        "instant": {"hour"}, "hourly-mean": {"hour"}, "hourly-amount": {"hour"},
        "running-total": {"since midnight"}, "daily-mean": {"day", "stamps of a day"},
        "daily-total": {"day"},
    }  # fmt: skip
    for clue in evidence.clue(BOUNDS, STEPS):
        if clue.span and clue.span not in spans[stated]:
            return f"found {clue}"
    fits = {
        "daily-mean": stamps.step % 24 == 0 and len(stamps.clock) == 1,
        "daily-total": stamps.step % 24 == 0 and len(stamps.clock) == 1,
        "running-total": stamps.step == 1 or 0 in stamps.clock,
    }.get(stated, stamps.step == 1)
    return "" if fits else f"found {stamps.spacing}"


def settle(
    told: Sequence[Evidence], product: Product, stated: Stated | None = None
) -> list[Verdict]:
    """What a variable is in each of several files, in their order.

    told: the evidence of each file. product: whose rule of accumulation holds for files that do
    not say which product they are. Files of the same kind are judged together: a file of a
    single stamp does not say how far stamps lie apart, a folder of them does.
    """
    groups: dict[tuple[Any, ...], list[Stamps]] = {}
    for evidence in told:
        groups.setdefault(evidence.signature, []).append(evidence.stamps)
    stamps = {signature: merged(several) for signature, several in groups.items()}
    return [
        weigh(replace(e, stamps=stamps[e.signature]), ACCUMULATES[e.product or product], stated)
        for e in told
    ]


def takers(name: str, statistic: Statistic) -> tuple[str, ...]:
    """The drivers that take a variable with a statistic."""
    return tuple(d for d, needs in ACCEPTED.items() if statistic in needs.get(name, ()))


def usable(name: str, statistic: Statistic) -> bool:
    """Whether some driver takes it, or it is known for what it is and simply of no use."""
    return bool(takers(name, statistic)) or statistic == "daily-mean"


def refusal(name: str, verdict: Verdict) -> str:
    """Why a variable is refused: what was found, what is accepted, how to state it."""
    wanted = {d: needs[name] for d, needs in ACCEPTED.items() if name in needs}
    accepted = "; ".join(f"{d}: {', '.join(kinds)}" for d, kinds in wanted.items())
    named = sorted({kind for kinds in wanted.values() for kind in kinds} & set(get_args(Stated)))
    state = f", or, where you know better, state it: meteo.statistic: {{{name}: {named[0]}}}"
    return (
        f"{name}: expected a statistic that drivers take ({accepted}), found {verdict}, "
        f"{MEANING[verdict.statistic]}; give other files"
        f"{'' if verdict.statistic in _SURE else state}"
    )


def differing(name: str, verdicts: Sequence[Verdict]) -> str:
    """That files hold a variable with several statistics, each of which could be used."""
    found = dict.fromkeys(str(verdict) for verdict in verdicts)
    return (
        f"{name}: expected one statistic in all files, found {' and '.join(found)}; give files of "
        "one kind"
    )

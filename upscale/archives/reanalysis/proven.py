"""Which variables of several files are proven to be what drivers are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from upscale.archives.reanalysis.statistic import (
    Evidence,
    Product,
    Stated,
    Verdict,
    differing,
    refusal,
    settle,
    takers,
    usable,
)
from upscale.remote.errors import ArchiveError


@dataclass(frozen=True)
class Proven:
    """verdicts: of each variable that some driver takes. refused: why, by file and variable."""

    verdicts: Mapping[str, Verdict]
    refused: Mapping[tuple[str, str], str]

    def names(self, file: str, there: Iterable[str]) -> tuple[str, ...]:
        """The variables of a file that drivers are made of."""
        return tuple(n for n in there if n in self.verdicts and (file, n) not in self.refused)


def prove(
    told: Iterable[tuple[str, Evidence]],
    needed: Collection[str],
    product: Product,
    stated: Mapping[str, Stated],
    *,
    forced: bool = False,
) -> Proven:
    """Judge the variables `needed` from all that files tell.

    told: files, each with the evidence of one of its variables. product: whose rule of
    accumulation holds where a file does not say which it is, and, `forced`, also where it does.
    Raises ArchiveError where files hold one variable with several statistics that could be used.
    """
    by_name: dict[str, list[tuple[str, Evidence]]] = defaultdict(list)
    for file, evidence in told:
        named = replace(evidence, product=product) if forced else evidence
        by_name[evidence.name].append((file, named))
    verdicts: dict[str, Verdict] = {}
    refused: dict[tuple[str, str], str] = {}
    for name in sorted(by_name.keys() & set(needed)):
        files, evidences = zip(*by_name[name], strict=True)
        found = list(zip(files, settle(evidences, product, stated.get(name)), strict=True))
        refused |= {(f, name): refusal(name, v) for f, v in found if not usable(name, v.statistic)}
        sound = [verdict for file, verdict in found if (file, name) not in refused]
        if len({verdict.statistic for verdict in sound}) > 1:
            raise ArchiveError(differing(name, sound))
        if sound and takers(name, sound[0].statistic):
            verdicts[name] = sound[0]
    return Proven(verdicts, refused)

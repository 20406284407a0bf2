"""The page on fetching shows an INGEST.yaml that is read, with every kind of source."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from upscale.ingest.config import parse_ingest
from upscale.ingest.sources import CdsSource, EarthdataSource, StacSource

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "fetch.md").read_text()


def test_its_example_is_an_ingest_with_every_kind_of_source() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    ingest = parse_ingest(yaml.safe_load(text), "the page")
    sources = [ingest.meteo.fetch, *(entry.fetch for entry in ingest.satellite)]
    kinds = [type(source) for source in sources]
    assert kinds == [CdsSource, EarthdataSource, StacSource]

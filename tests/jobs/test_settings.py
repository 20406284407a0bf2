"""Files of keys are read strictly, and every fault is named in words of this house."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, field_validator

from upscale.jobs.sections import Cluster, Period, Region
from upscale.jobs.settings import ConfigError, Strict, absolute, expand_user, parse, read_yaml


class Inner(Strict):
    count: int = Field(ge=1)


class Outer(Strict):
    name: str
    inner: Inner = Inner(count=1)
    period: Period | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if len(name) > 3:
            raise ValueError("expected three letters at most")
        return name


def faults(content: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(Outer, content, "outer.yaml cannot be used")
    first, *rest = str(error.value).splitlines()
    assert first == "outer.yaml cannot be used:"
    return rest


def test_every_fault_is_named_with_its_key_and_without_the_library() -> None:
    found = faults({"name": "long", "inner": {"count": 0, "cuont": 1}, "nmae": "x"})
    assert found == [
        "  name: expected three letters at most (found 'long')",
        "  inner.count: Input should be greater than or equal to 1 (found 0)",
        "  inner.cuont: unknown key; remove it or correct its spelling",
        "  nmae: unknown key; remove it or correct its spelling",
    ]
    assert faults({}) == ["  name: this key is required; add it"]


def test_a_section_that_is_wrong_as_a_whole_is_not_printed_once_more() -> None:
    period = {"start": "2012-03-02", "end": "2012-03-01"}
    assert faults({"name": "a", "period": period}) == [
        "  period: end 2012-03-01 lies before start 2012-03-02: swap them"
    ]


def test_overrides_make_sections_and_are_read_as_yaml(tmp_path: Path) -> None:
    path = tmp_path / "outer.yaml"
    path.write_text("name: a\n")
    content = read_yaml(path, ["inner.count=3", "name=[b, 1.5]", "period.start=2012-01-01"], "it")
    assert content["inner"] == {"count": 3}
    assert content["name"] == ["b", 1.5]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner", "expected key=value, found 'inner'"),
        ("name.x=1", "'name.x=1': name holds a value, not keys"),
        ("name=[", "'name=.': the value is not YAML"),
    ],
)
def test_an_override_that_cannot_be_applied_is_said(
    override: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "outer.yaml"
    path.write_text("name: a\n")
    with pytest.raises(ConfigError, match=message):
        read_yaml(path, [override], "an outer.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; give the path of an outer.yaml"),
        (b"name: [", "is not YAML"),
        (b"name: \xff\xfe", "is not YAML"),
        (b"", "expected the keys of an outer.yaml, found none"),
        (b"- a\n", "expected the keys of an outer.yaml, found none"),
    ],
)
def test_what_is_no_file_of_keys_is_said(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "outer.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path, [], "an outer.yaml")


def test_a_path_loses_its_tilde_and_a_url_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/towers") == f"{tmp_path}/towers"
    assert expand_user("towers") == "towers"
    assert absolute("~/towers") == f"{tmp_path}/towers"
    assert expand_user("s3://bucket/~x") == absolute("s3://bucket/~x") == "s3://bucket/~x"


def test_a_region_names_its_edges() -> None:
    with pytest.raises(ConfigError, match="found 10 to -10 N and 5 to 6 E"):
        parse(Region, {"south": 10, "north": -10, "west": 5, "east": 6}, "it")


def test_a_cluster_of_no_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="workers"):
        parse(Cluster, {"workers": 0}, "it")

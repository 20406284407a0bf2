"""What a release says it learned from decides what is evidence."""

from dataclasses import replace

import pandas as pd
import pytest

from upscale.evaluation.learned import SPLITS, splits_of
from upscale.evaluation.skill import SkillRow, skill_csv, skill_table
from upscale.network.releases.manifest import LearnedPlace
from upscale.network.releases.release import load_release
from upscale.testing.releases import fake_release
from upscale.towers.digest import data_digest


@pytest.fixture
def make(tmp_path):
    return lambda **fields: fake_release(tmp_path / "release", members=1, hidden=4, **fields)


def test_a_release_with_a_list_is_taken_at_its_word(make, towers, folder):
    release = make(learned=("XX-T00", "XX-T05"))
    found = splits_of(release, towers, folder)
    assert found["XX-T00"] == found["XX-T05"] == "train"
    assert found["XX-T01"] == "near"  # shares the cluster of XX-T00
    assert found["XX-T09"] == "suspect"
    assert found["XX-T02"] == "test"
    assert set(found.values()) <= set(SPLITS)


def test_an_old_release_knows_what_it_held_out_where_the_data_are_its_own(make, towers, folder):
    digest = data_digest(folder)
    release = make(held_out=("C_XX-T02", "C_XX-T09"), training_digest=digest)
    found = splits_of(release, towers, folder)
    assert found["XX-T02"] == "test"
    assert found["XX-T09"] == "suspect"
    assert found["XX-T00"] == "train"


def test_an_old_release_does_not_know_other_towers(make, towers, folder):
    release = make(held_out=("C_XX-T02",))
    found = splits_of(release, towers, folder)
    assert found["XX-T02"] == "test"
    assert found["XX-T00"] == "unknown"
    assert splits_of(release, towers, folder / "nowhere") == found


def test_sites_of_the_releases_own_table_were_left_out(make, towers, folder):
    release = make()
    row = SkillRow("XX-T04", "elsewhere", "gpp", "tamrl", "test", 9, 1.0, 0.5, 0.0)
    (release.path / "skill.csv").write_text(skill_csv(skill_table([row])))
    assert splits_of(release, towers, folder)["XX-T04"] == "test"
    (release.path / "skill.csv").unlink()
    assert splits_of(release, towers, folder)["XX-T04"] == "unknown"


def test_a_suspect_tower_that_was_learned_from_is_no_evidence(make, towers, folder):
    release = make(learned=("XX-T09",))
    assert splits_of(release, towers, folder)["XX-T09"] == "train"
    moved = [replace(t, cluster="C_XX-T09") if t.site == "XX-T08" else t for t in towers]
    assert pd.Series(splits_of(release, moved, folder)).value_counts()["near"] == 1


def test_a_tower_beside_a_learned_one_of_another_folder_is_near(make, towers, folder):
    alone = [t for t in towers if t.site in ("XX-T01", "XX-T02", "XX-T09")]
    assert splits_of(make(learned=("XX-T00",)), alone, folder)["XX-T01"] == "test"
    twin, north = towers[0], alone[1].lat + 0.4
    places = (
        LearnedPlace(name="XX-T00", lat=twin.lat, lon=twin.lon),
        LearnedPlace(name="YY-Aaa", lat=north, lon=alone[1].lon),  # 44 km away
    )
    release = make(learned=("XX-T00", "YY-Aaa"), learned_places=places)
    expected = {"XX-T01": "near", "XX-T02": "near", "XX-T09": "suspect"}
    assert splits_of(release, alone, folder) == expected
    far = (places[0], places[1].model_copy(update={"lat": alone[1].lat + 0.5}))  # 56 km
    release = make(learned=("XX-T00", "YY-Aaa"), learned_places=far)
    assert splits_of(release, alone, folder)["XX-T02"] == "test"


def test_who_shares_a_cluster_with_a_near_tower_is_near(make, towers, folder):
    alone = [replace(towers[3], cluster="C"), replace(towers[4], cluster="C")]
    place = LearnedPlace(name="YY-Aaa", lat=towers[3].lat, lon=towers[3].lon)
    release = make(learned=("YY-Aaa",), learned_places=(place,))
    assert set(splits_of(release, alone, folder).values()) == {"near"}


@pytest.mark.parametrize("name", ["FLX_XX-T04", "AMF_XX-T04", " XX-T04 "])
def test_a_site_is_known_under_the_name_of_its_archive(make, towers, folder, name):
    renamed = [replace(towers[4], site=name)]
    assert splits_of(make(learned=("XX-T04",)), renamed, folder) == {name: "train"}
    assert splits_of(make(learned=(name,)), towers, folder)["XX-T04"] == "train"


def test_the_releases_own_suspect_towers_are_suspect_in_any_table(make, towers, folder):
    release = make(learned=("XX-T00",))
    row = SkillRow("XX-T04", "C_XX-T04", "gpp", "tamrl", "suspect", 9, 1.0, 0.5, 0.0)
    (release.path / "skill.csv").write_text(skill_csv(skill_table([row])))
    assert splits_of(release, towers, folder)["XX-T04"] == "suspect"
    older = make()
    (older.path / "skill.csv").write_text(skill_csv(skill_table([row])))
    assert splits_of(older, towers, folder)["XX-T04"] == "suspect"


def test_the_first_release_knows_its_towers_in_another_folder(towers, folder):
    sites = ("DE-Tha", "AT-Neu", "CH-Dav", "ZZ-Aaa", "ZZ-Bbb")
    moved = [replace(t, site=s, cluster=s) for t, s in zip(towers[4:9], sites, strict=True)]
    moved[3] = replace(moved[3], lat=50.96, lon=13.75)  # 14 km from DE-Tha
    assert splits_of(load_release("tamrl-met-v1"), moved, folder) == {
        "DE-Tha": "train", "AT-Neu": "test", "CH-Dav": "suspect", "ZZ-Aaa": "near",
        "ZZ-Bbb": "test",
    }  # fmt: skip

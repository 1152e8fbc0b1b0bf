"""The room Settings: a form, a preview, a change, and an undo."""

from __future__ import annotations

import re
from typing import Any

import pytest

from feed.config import RankingConfig
from feed.setting_fields import documented
from tests.service.conftest import Site
from tests.service.test_desk_access import keyed, sign_in, token_of

__all__ = ["keyed"]


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields and inputs of the page's forms."""
    return dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', page))


def send(site: Site, path: str, **fields: Any) -> Any:
    token = token_of(site.client.get("/desk/settings").text)
    return site.client.post(path, data={"form_token": token, **fields})


def preview(site: Site, **fields: Any) -> Any:
    return send(site, "/desk/settings/preview", **fields)


def test_every_setting_is_shown_with_meaning_range_and_value(site: Site) -> None:
    page = site.client.get("/desk/settings").text
    assert "Strength of the trending factor: score * (1 + boost * trend)." in page
    assert "0 to 100" in page
    assert "more than 0, up to 100,000" in page
    assert page.count('<option value="yes" selected>') == 4
    fields = fields_of(page)
    assert (fields["trending_boost"], fields["weights.age_published"]) == ("0.3", "-0.3")


def test_a_change_is_previewed_applied_and_undone(site: Site) -> None:
    site.publish(20)
    site.feed("r1", mode="latest")
    shown = preview(site, trending_boost="0.3", slate_size="4")
    assert shown.status_code == 200
    assert "slate_size</code>: <del>200</del> → <ins>4</ins>" in shown.text
    assert "1 request of the last hour" in shown.text
    assert "In 100 % of the feeds, the first ten articles change" in shown.text
    assert '<th scope="row">Different articles</th><td class="number">10</td>' in shown.text
    assert site.store.read_editorial() == {}, "a preview changes nothing"
    hidden = fields_of(shown.text)
    assert "trending_boost" not in hidden, "it says what is in force already"
    applied = site.client.post("/desk/settings", data=hidden)
    assert (applied.status_code, applied.location) == (303, "/desk/settings")
    page = site.client.get("/desk/settings").text
    assert "Changed: Length of a ranked list." in page
    assert fields_of(page)["slate_size"] == "4"
    site.services.keeper.refresh()
    assert len(site.feed(limit=50)["items"]) == 4
    entry = site.store.read_audit(1, "settings")[0]
    assert f'name="entry" value="{entry.id}"' in page
    assert send(site, "/desk/undo", entry=entry.id, back="/desk/settings").status_code == 303
    site.services.keeper.refresh()
    assert len(site.feed(limit=50)["items"]) == 20


def test_people_count_slots_from_one_and_the_api_from_zero(site: Site) -> None:
    page = site.client.get("/desk/settings").text
    assert ">First slot drawn by chance</label>" in page
    assert "First slot that exploration may take." in page
    assert "1 to 101" in page
    assert fields_of(page)["explore_from"] == "5"
    shown = preview(site, explore_from="7", slate_size="200").text
    assert "<del>5</del> → <ins>7</ins>" in shown
    hidden = fields_of(shown)
    assert hidden["explore_from"] == "7"
    site.client.post("/desk/settings", data=hidden)
    assert site.store.read_editorial()["ranking"][1]["explore_from"]["value"] == 6
    lines = site.client.get("/v1/settings/ranking").json["settings"]
    (line,) = [one for one in lines if one["name"] == "explore_from"]
    assert (line["value"], line["text"]) == (
        6,
        "first slot that exploration may take, counted from 0",
    )
    log = site.client.get("/desk/audit").text
    assert "First slot drawn by chance: <del>5</del> → <ins>7</ins>" in log
    refused = send(site, "/desk/settings", explore_from="0")
    assert "It must be a whole number from 1 to 101." in refused.text
    assert fields_of(refused.text)["explore_from"] == "0"


def test_every_setting_has_a_title() -> None:
    titles = [one.metadata["title"] for one in documented(RankingConfig)]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_an_empty_field_takes_a_change_back(site: Site) -> None:
    send(site, "/desk/settings", slate_size="4")
    hidden = fields_of(preview(site, slate_size="").text)
    assert hidden["slate_size"] == ""
    site.client.post("/desk/settings", data=hidden)
    assert site.store.read_editorial()["ranking"][1] == {}


@pytest.mark.parametrize("path", ["/desk/settings/preview", "/desk/settings"])
def test_a_bad_value_is_named_beside_its_field_and_kept_in_it(site: Site, path: str) -> None:
    refused = send(site, path, trending_boost="-1")
    assert refused.status_code == 422
    assert "It must lie between 0 and 100." in refused.text
    assert fields_of(refused.text)["trending_boost"] == "-1"
    assert 'aria-invalid="true"' in refused.text
    assert site.store.read_editorial() == {}


def test_a_change_that_somebody_else_made_meanwhile_is_seen(site: Site) -> None:
    hidden = fields_of(preview(site, slate_size="4").text)
    send(site, "/desk/settings", slate_size="9")
    late = site.client.post("/desk/settings", data=hidden)
    assert late.status_code == 409
    assert "changed meanwhile" in late.text
    assert site.store.read_editorial()["ranking"][1]["slate_size"]["value"] == 9


def test_an_editor_sees_the_settings_and_changes_nothing(keyed: Site) -> None:
    sign_in(keyed, "boss")
    assert send(keyed, "/desk/settings", slate_size="4").status_code == 303
    entry = keyed.store.read_audit(1, "settings")[0]
    assert entry.by == "boss"
    sign_in(keyed, "ed")
    page = keyed.client.get("/desk/settings").text
    assert "Preview the change" not in page
    assert "boss, " in page
    token = {"form_token": token_of(page)}
    for path in ("/desk/settings", "/desk/settings/preview"):
        assert keyed.client.post(path, data={**token, "slate_size": "5"}).status_code == 403
    refused = keyed.client.post("/desk/undo", data={**token, "entry": entry.id})
    assert refused.status_code == 403
    assert "an admin can take this back" in refused.text


def test_a_running_experiment_is_named(site: Site) -> None:
    variants = [
        {"name": "control", "share": 0.5},
        {"name": "shorter", "share": 0.5, "overrides": {"slate_size": 5}},
    ]
    design = {"name": "short", "hypothesis": "h", "owner": "o", "variants": variants}
    site.client.post("/v1/experiments", json=design)
    site.client.post("/v1/experiments/short/start")
    site.services.keeper.refresh()
    page = site.client.get("/desk/settings").text
    assert "Running: short" in page
    assert "short, shorter: 5" in page

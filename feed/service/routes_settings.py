"""Routes for the ranking settings of the whole installation, which apply without a restart."""

from __future__ import annotations

import orjson
from apiflask import APIBlueprint
from flask import Response, g, request

from feed.catalogue.ranking_changes import change_ranking, read_wanted
from feed.domain import InvalidInputError
from feed.editorial.editorial import RANKING, editorial_from_store
from feed.experiments.design.design_rules import SHARED_SETTINGS
from feed.experiments.design.lifecycle import read_experiments, running_experiments
from feed.ranking.settings_in_force import put_in_force
from feed.schemas import RankingPatch
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services
from feed.service.setting_answers import RankingPreviewOut, RankingSettingsOut
from feed.service.setting_lines import setting_lines

routes = APIBlueprint("settings", __name__, tag="Newsroom")


@routes.get("/v1/settings/ranking")
@routes.output(RankingSettingsOut)
@operation(Scope.ADMIN)
def get_ranking_settings() -> Response:
    """Return every ranking setting: meaning, range, value, and who changed it."""
    return _present()


@routes.patch("/v1/settings/ranking")
@routes.output(RankingSettingsOut)
@operation(Scope.ADMIN, body=RankingPatch, problems=(409,))
def patch_ranking_settings() -> Response:
    """Change ranking settings of the whole installation (JSON Merge Patch); null takes one back.

    Every web process uses them within a second; no restart is needed. With a header If-Match
    that holds the version, nothing is changed if somebody else did so meanwhile.
    """
    services = current_services()
    change_ranking(
        services.store,
        services.settings.ranking,
        read_body(RankingPatch).root,
        now=services.clock(),
        by=g.principal.signature,
        version=_version_seen(),
    )
    services.keeper.wake()
    return _present()


@routes.post("/v1/settings/ranking/preview")
@routes.output(RankingPreviewOut)
@operation(Scope.ADMIN, body=RankingPatch, problems=(409,), queued=False)
def post_ranking_preview() -> Response:
    """Say what a change would do: up to 100 recent requests are ranked as now and as after it.

    Nothing is changed and nothing is recorded. It takes a few seconds.
    """
    services = current_services()
    snapshot = services.snapshot
    wanted = read_wanted(snapshot.ranking, read_body(RankingPatch).root)
    preview = services.previews.preview(snapshot, snapshot.with_ranking(wanted.config))
    unseen = sorted(SHARED_SETTINGS & wanted.values.keys())
    return json_response(orjson.dumps(preview.to_json() | {"not_previewed": unseen}))


def _version_seen() -> int | None:
    given = request.headers.get("If-Match", "").strip().strip('"')
    if not given:
        return None
    if not given.isdecimal() or len(given) > 9:
        raise InvalidInputError("If-Match", "must be the version of the settings")
    return int(given)


def _present() -> Response:
    services = current_services()
    editorial = editorial_from_store(services.store.read_editorial())
    found = put_in_force(services.settings.ranking, editorial.ranking)
    running = running_experiments(read_experiments(services.store).values())
    body = {
        "version": editorial.versions.get(RANKING, 0),
        "settings": [line.to_json() for line in setting_lines(found, running)],
        "faults": [{"name": name, "rule": rule} for name, rule in found.faults.items()],
    }
    return json_response(orjson.dumps(body))

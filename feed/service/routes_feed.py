"""Routes for readers' front ends: the feed, events, and trending articles."""

from __future__ import annotations

from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response, g, request

from feed.domain import check_id
from feed.schemas import EventBatchIn, FeedQuery, TrendingQuery
from feed.service.access import speaks_for
from feed.service.answers import EventsOut, FeedOut, StoryOut, TrendingOut
from feed.service.credentials import Caller, Scope
from feed.service.operations import ReaderAccess, json_response, operation, read_json_bytes
from feed.service.problems import ProblemError
from feed.service.services import current_services

routes = APIBlueprint("feed", __name__, tag="Feed")


@routes.get("/v1/feed")
@routes.input(FeedQuery, location="query", arg_name="query")
@routes.output(FeedOut)
@operation(Scope.READ, reader=ReaderAccess.OWN, problems=(400, 410))
def get_feed(query: FeedQuery) -> Response:
    """Return one page of a reader's feed.

    Use next_cursor to get the next page. The order of a feed is fixed when its first page is
    served, so no later page repeats or loses an article. mode=trending and mode=latest use only
    the preferences that the reader has stated. mode_served says which fallback level the service
    had to use, if any. A feed that is made counts as served, so HEAD is answered with 405.
    """
    if request.method == "HEAD":
        raise ProblemError(405, "ask for a feed with GET", headers={"Allow": "GET, OPTIONS"})
    user_id = speaks_for(g.principal, query.user_id)
    if not query.user_id:
        query = query.model_copy(update={"user_id": user_id})
    own = g.principal.caller is Caller.READER
    page = current_services().feeds.get_feed(query, g.watch, own=own)
    data = orjson.dumps(page)
    g.watch.lap("encoding")
    return json_response(data)


@routes.post("/v1/events")
@routes.output(EventsOut, status_code=202)
@operation(Scope.WRITE, reader=ReaderAccess.OWN, body=EventBatchIn)
def post_events() -> Response:
    """Accept 1 to 500 events.

    Each event is accepted, rejected with a reason, or a duplicate. A duplicate has an event_id
    that was accepted before, and changes nothing. The body may be compressed (Content-Encoding:
    gzip) and may be declared as text/plain, as navigator.sendBeacon does. The answer comes when
    the store has the accepted events. If you get any other status, send the same events again.
    """
    services, reader = current_services(), g.principal.user_id
    origin = services.networks.origin_of(g.principal, g.address)
    # A page of any origin may send text/plain without asking first: only listed ones are heard.
    body = read_json_bytes(beacon=services.cross_origin.may_send(request))
    answer = services.feeds.record_events(body, g.watch, reader, origin)
    return json_response(orjson.dumps(answer), 202)


@routes.get("/v1/trending")
@routes.input(TrendingQuery, location="query", arg_name="query")
@routes.output(TrendingOut)
@operation(Scope.READ, reader=ReaderAccess.ANY)
def get_trending(query: TrendingQuery) -> Response:
    """Return the articles that are read more than usual, with the numbers behind each."""
    answer: dict[str, Any] = current_services().feeds.get_trending(query)
    return json_response(orjson.dumps(answer))


@routes.get("/v1/stories/<id:story_id>")
@routes.output(StoryOut)
@operation(Scope.READ, reader=ReaderAccess.ANY, problems=(404,))
def get_story(story_id: str) -> Response:
    """Return the articles about one event, newest first.

    The id is that of more_on_this in a feed, or of any article of the story. Articles with the
    same text are listed once.
    """
    check_id("story_id", story_id)
    return json_response(orjson.dumps(current_services().feeds.get_story(story_id)))

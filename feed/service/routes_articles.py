"""Routes for the publisher: adding, changing and retracting articles, and related articles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.article_schemas import ArticleBatchIn, ArticleBody, ArticleChangesIn
from feed.domain import NotFoundError, check_id
from feed.features.pool import SCHEDULE_TOLERANCE_S
from feed.schemas import RelatedQuery, RetractQuery
from feed.service.answers import (
    ArticlesOut,
    RelatedOut,
    RestoredOut,
    RetractedOut,
    StoredArticleOut,
)
from feed.service.cards import article_fields
from feed.service.credentials import Caller, Scope
from feed.service.operations import ReaderAccess, json_response, operation, read_body
from feed.service.services import current_services, present_editor

routes = APIBlueprint("articles", __name__, tag="Articles")


@routes.post("/v1/articles")
@routes.output(ArticlesOut)
@operation(Scope.WRITE, body=ArticleBatchIn, queued=False)
def post_articles() -> Response:
    """Insert or replace up to 500 articles; if one is invalid, none is written.

    The process that answers can recommend them at once; the other processes can within two
    seconds. With an `origin`, the articles are changed as a source changes them. The status
    `erased` says that an article was erased and is not written until it is restored.
    """
    services, body = current_services(), read_body(ArticleBatchIn)
    submissions = [one.to_submission(one.article_id) for one in body.articles]
    statuses = services.articles.upsert(submissions, services.clock(), body.origin)
    return _results([one.article_id for one in body.articles], statuses)


@routes.put("/v1/articles/<id:article_id>")
@routes.output(ArticlesOut)
@operation(Scope.WRITE, body=ArticleBody, queued=False)
def put_article(article_id: str) -> Response:
    """Insert or replace one article. `retracted: true` removes it from the next feed."""
    check_id("article_id", article_id)
    submission = read_body(ArticleBody).to_submission(article_id)
    services = current_services()
    return _results([article_id], services.articles.upsert([submission], services.clock()))


@routes.patch("/v1/articles/<id:article_id>")
@routes.output(ArticlesOut)
@operation(Scope.WRITE, body=ArticleChangesIn, problems=(404,), queued=False)
def patch_article(article_id: str) -> Response:
    """Set some fields of an article, which no source changes from then on.

    With `hold`, the newsroom's own deliveries leave them alone, too. `release` names fields that
    both may change again.
    """
    check_id("article_id", article_id)
    services, body = current_services(), read_body(ArticleChangesIn)
    submission, released = body.to_submission(article_id), frozenset(body.release)
    entry = services.articles.patch(submission, present_editor(), released, hold=body.hold)
    return _results([article_id], ["updated" if entry else "unchanged"])


@routes.get("/v1/articles/<id:article_id>")
@routes.output(StoredArticleOut)
@operation(Scope.READ, reader=ReaderAccess.ANY, problems=(404,))
def get_article(article_id: str) -> Response:
    """Return one article, even if it is retracted.

    For a reader's token, there is no article before its time of publication.

    A caller who may write also sees `owned_fields`, which no source changes because the API has
    set them, `held_fields`, which no delivery changes, and `origins`, the sources that sent the
    article.
    """
    check_id("article_id", article_id)
    stored = current_services().articles.read(article_id)
    if stored.article.published_at > _visible_until():
        raise NotFoundError("no such article")
    fields = article_fields(stored.article)
    if Scope.WRITE in g.principal.grants:
        fields["owned_fields"] = sorted(stored.owned)
        fields["held_fields"] = sorted(stored.held)
        fields["origins"] = [one.origin for one in stored.origins]
    return json_response(orjson.dumps(fields))


@routes.delete("/v1/articles/<id:article_id>")
@routes.input(RetractQuery, location="query", arg_name="query")
@routes.output(RetractedOut)
@operation(Scope.WRITE, problems=(404,))
def delete_article(article_id: str, query: RetractQuery) -> Response:
    """Retract an article. From the next request on, no feed shows it.

    Whatever a source sends, it stays retracted, or erased, until it is restored.
    """
    check_id("article_id", article_id)
    services = current_services()
    if query.purge:
        services.articles.erase(article_id, present_editor())
    else:
        services.articles.retract(article_id, present_editor())
    status = "erased" if query.purge else "retracted"
    return json_response(orjson.dumps({"article_id": article_id, "status": status}))


@routes.post("/v1/articles/<id:article_id>/restore")
@routes.output(RestoredOut)
@operation(Scope.WRITE, problems=(404,))
def restore_article(article_id: str) -> Response:
    """Take back a retraction, or let an erased article be sent again."""
    check_id("article_id", article_id)
    entry = current_services().articles.restore(article_id, present_editor())
    status = "restored" if entry else "unchanged"
    return json_response(orjson.dumps({"article_id": article_id, "status": status}))


@routes.get("/v1/articles/<id:article_id>/related")
@routes.input(RelatedQuery, location="query", arg_name="query")
@routes.output(RelatedOut)
@operation(Scope.READ, reader=ReaderAccess.ANY, problems=(404,))
def get_related(article_id: str, query: RelatedQuery) -> Response:
    """Return articles that readers of this one also read, then articles with a similar text.

    For a reader's token, there is no article before its time of publication.
    """
    check_id("article_id", article_id)
    feeds = current_services().feeds
    return json_response(orjson.dumps(feeds.get_related(article_id, query.limit, _visible_until())))


def _visible_until() -> float:
    """Return the latest time of publication, epoch seconds, of what the caller may see."""
    if g.principal.caller is not Caller.READER:
        return math.inf
    return current_services().clock() + SCHEDULE_TOLERANCE_S


def _results(article_ids: Sequence[str], statuses: Sequence[str]) -> Response:
    pairs = zip(article_ids, statuses, strict=True)
    results = [{"article_id": article_id, "status": status} for article_id, status in pairs]
    return json_response(orjson.dumps({"results": results}))

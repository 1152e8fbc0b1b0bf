"""Routes for the publisher: adding, changing and retracting articles, and related articles."""

from __future__ import annotations

import orjson
from apiflask import APIBlueprint
from flask import Response

from feed.domain import check_id
from feed.schemas import ArticleBatchIn, ArticleBody, RelatedQuery, RetractQuery
from feed.service.answers import ArticleOut, ArticlesOut, RelatedOut, RetractedOut
from feed.service.cards import article_fields
from feed.service.credentials import Scope
from feed.service.operations import ReaderAccess, json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("articles", __name__, tag="Articles")


@routes.post("/v1/articles")
@routes.output(ArticlesOut)
@operation(Scope.WRITE, body=ArticleBatchIn, queued=False)
def post_articles() -> Response:
    """Insert or replace up to 500 articles, either all of them or none.

    The process that answers can recommend them at once; the other processes can within two
    seconds.
    """
    submissions = [a.to_submission(a.article_id) for a in read_body(ArticleBatchIn).articles]
    statuses = current_services().articles.upsert(submissions, current_services().clock())
    results = [
        {"article_id": one.article.article_id, "status": status}
        for one, status in zip(submissions, statuses, strict=True)
    ]
    return json_response(orjson.dumps({"results": results}))


@routes.put("/v1/articles/<id:article_id>")
@routes.output(ArticlesOut)
@operation(Scope.WRITE, body=ArticleBody, queued=False)
def put_article(article_id: str) -> Response:
    """Insert or replace one article. `retracted: true` removes it from the next feed."""
    check_id("article_id", article_id)
    submission = read_body(ArticleBody).to_submission(article_id)
    (status,) = current_services().articles.upsert([submission], current_services().clock())
    return json_response(orjson.dumps({"results": [{"article_id": article_id, "status": status}]}))


@routes.get("/v1/articles/<id:article_id>")
@routes.output(ArticleOut)
@operation(Scope.READ, reader=ReaderAccess.ANY, problems=(404,))
def get_article(article_id: str) -> Response:
    """Return one article, even if it is retracted."""
    check_id("article_id", article_id)
    return json_response(orjson.dumps(article_fields(current_services().articles.read(article_id))))


@routes.delete("/v1/articles/<id:article_id>")
@routes.input(RetractQuery, location="query", arg_name="query")
@routes.output(RetractedOut)
@operation(Scope.WRITE, problems=(404,))
def delete_article(article_id: str, query: RetractQuery) -> Response:
    """Retract an article. From the next request on, no feed shows it."""
    check_id("article_id", article_id)
    if query.purge:
        current_services().articles.erase(article_id)
    else:
        current_services().articles.retract(article_id)
    status = "erased" if query.purge else "retracted"
    return json_response(orjson.dumps({"article_id": article_id, "status": status}))


@routes.get("/v1/articles/<id:article_id>/related")
@routes.input(RelatedQuery, location="query", arg_name="query")
@routes.output(RelatedOut)
@operation(Scope.READ, reader=ReaderAccess.ANY, problems=(404,))
def get_related(article_id: str, query: RelatedQuery) -> Response:
    """Return articles that readers of this one also read, then articles with a similar text."""
    check_id("article_id", article_id)
    return json_response(
        orjson.dumps(current_services().feeds.get_related(article_id, query.limit))
    )

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from feed.service.operations import operation_of

EXAMPLES = 5
checks.load_all_checks()
CHECKED = checks.CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


@pytest.fixture
def api(site: Any) -> Any:
    site.publish(3)
    return schemathesis.openapi.from_wsgi("/openapi.json", site.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_gets_a_5xx_or_an_answer_that_is_not_documented(
    api: Any, mode: GenerationMode
) -> None:
    for found in api.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: Any) -> None:
            case.call_and_validate(checks=[checks.not_a_server_error, *CHECKED])

        try:
            call()
        except Unsatisfiable:
            continue  # nothing of this operation can be wrong


def test_every_route_is_documented_with_its_answers(site: Any) -> None:
    document = site.client.get("/openapi.json").json
    for rule in site.app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/"):
            continue
        declared = operation_of(site.app.view_functions[rule.endpoint])
        assert declared is not None, rule.rule
        path = document["paths"][rule.rule.replace("<id:", "{").replace(">", "}")]
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            entry = path[method.lower()]
            assert entry["summary"]
            assert any(status.startswith("2") for status in entry["responses"])
            if declared.body:
                assert {"400", "413", "415", "422"} <= set(entry["responses"])
            for answer in entry["responses"].values():
                assert answer["description"]


def test_every_reference_in_the_document_leads_somewhere(site: Any) -> None:
    document = site.client.get("/openapi.json").json
    names = document["components"]["schemas"]
    text = site.client.get("/openapi.json").text
    for reference in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert reference in names


def test_the_docs_page_needs_no_network(site: Any) -> None:
    page = site.client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://news", "")
    assert "<script" not in page.text
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in page.headers["Content-Security-Policy"]
    assert " style=" not in page.text
    with site.client.get("/static/favicon.svg") as icon:
        assert icon.status_code == 200
    assert "/v1/feed" in page.text
    for name in ("mode", "cursor", "page_article_id", "publisher"):
        assert name in page.text

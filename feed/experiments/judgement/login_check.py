"""Trust check on logins: what is left out so that each reader has one variant."""

from __future__ import annotations

import duckdb

from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.wording import number

_LEFT_OUT = """
SELECT count(DISTINCT request_id), count(DISTINCT user_id) FROM served_left_out
WHERE served_at >= to_timestamp(getvariable('from_at'))
  AND served_at < to_timestamp(getvariable('to_at'))
  AND json_valid(experiments)
  AND json_extract_string(experiments, getvariable('experiment')) IS NOT NULL
"""


def check_logins(connection: duckdb.DuckDBPyConnection) -> list[TrustCheck]:
    """Say how many feeds of the experiment are left out; nothing where none is.

    When an anonymous reader logs in, two ids become one reader with one variant: what came before
    under the id whose variant was given up is no part of the analysis.
    """
    row = connection.execute(_LEFT_OUT).fetchone()
    feeds, readers = row if row is not None else (0, 0)
    if not feeds:
        return []
    finding = (
        "Feeds served before a login, under an id whose variant the reader did not keep, are left"
        f" out (feeds: {number(feeds)}; readers who logged in: {number(readers)})."
    )
    return [TrustCheck("Logins", CheckState.PASSED, finding)]

"""What the archive's tables hold, and how stream records become their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from feed.storage.event_codec import archived_fields
from feed.storage.records import CatalogueChange, RecordType, StreamRecord

SCHEMA_VERSION = 1
EVENTS, SERVED, ARTICLES, IDENTITIES = "events", "served", "articles", "identities"

STREAM_ORDER = "partition, length(stream_id), stream_id"
"""Ids of one millisecond count upwards without leading zeros: the longer one is the later."""

_US = "make_timestamptz(round({} * 1e6)::BIGINT)"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its DuckDB type, and how it is read from a JSON line.

    `before` is its value, as SQL, in the rows of files that were written before it existed.
    """

    name: str
    type: str
    expression: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the archive.

    `columns` are in the order of the files. `line` are the fields of the JSON lines (name to
    DuckDB type). `day` is the column whose UTC day names the directory. `explode` maps lists of
    equal length to the columns that they become; such a line gives several rows. `order` sorts
    the rows within a file.
    """

    name: str
    columns: tuple[Column, ...]
    line: dict[str, str]
    day: str
    order: str
    explode: Mapping[str, str] = field(default_factory=dict)

    def select_files(self, paths: Iterable[Path], *, filename: bool = False) -> str:
        """Return the query that reads files, of which some or all may lack newer columns.

        With `filename`, the rows have the path of their file in a column of that name.
        """
        source = (
            f"read_parquet({quoted(map(str, paths))}, union_by_name = true,"
            f" hive_partitioning = false, filename = {str(filename).lower()})"
        )
        filled = [f"coalesce({c.name}, {c.before}) AS {c.name}" for c in self.columns if c.before]
        replaced = f" REPLACE ({', '.join(filled)})" if filled else ""
        every = f"SELECT * FROM {source} UNION ALL BY NAME {self.empty_select()}"
        return f"SELECT *{replaced} FROM ({every})"

    def empty_select(self) -> str:
        """Return a query with the right columns and no row."""
        fields = ", ".join(f"NULL::{c.type} AS {c.name}" for c in self.columns)
        return f"SELECT {fields} WHERE false"

    def select_lines(self) -> str:
        """Return the query that turns a file of JSON lines (parameter `$path`) into rows."""
        types = ", ".join(f"{name}: '{kind}'" for name, kind in self.line.items())
        source = (
            "read_json($path, format = 'newline_delimited', maximum_object_size = 67108864,"
            f" columns = {{{types}}})"
        )
        if self.explode:
            lists = ", ".join(f"unnest({many}) AS {one}" for many, one in self.explode.items())
            source = f"(SELECT *, {lists} FROM {source})"
        fields = ", ".join(f"{c.expression} AS {c.name}" for c in self.columns)
        return f"SELECT {fields} FROM {source} ORDER BY {self.order}"


def _plain(name: str, kind: str) -> Column:
    return Column(name, kind, name)


def _time(name: str) -> Column:
    return Column(name, "TIMESTAMPTZ", _US.format(name))


def _from_context(name: str) -> Column:
    return Column(name, "VARCHAR", f"coalesce(context ->> '{name}', '')")


_VERSION = Column("schema_version", "INTEGER", f"{SCHEMA_VERSION}::INTEGER")
_CONTEXT = Column("context", "VARCHAR", "context::VARCHAR")
_ORIGIN = (_plain("stream_id", "VARCHAR"), _plain("partition", "INTEGER"), _VERSION)
_ORIGIN_LINE = {"stream_id": "VARCHAR", "partition": "INTEGER"}

EVENTS_TABLE = Table(
    EVENTS,
    (
        _plain("event_id", "VARCHAR"),
        _plain("user_id", "VARCHAR"),
        _plain("article_id", "VARCHAR"),
        _plain("kind", "VARCHAR"),
        _time("occurred_at"),
        _time("received_at"),
        _plain("dwell_s", "DOUBLE"),
        _plain("request_id", "VARCHAR"),
        _plain("position", "INTEGER"),
        _CONTEXT,
        _from_context("device"),
        _from_context("platform"),
        _plain("first", "BOOLEAN"),
        Column("name", "VARCHAR", "coalesce(name, '')", "''"),
        _plain("value", "DOUBLE"),
        *_ORIGIN,
    ),
    {
        "event_id": "VARCHAR",
        "user_id": "VARCHAR",
        "article_id": "VARCHAR",
        "kind": "VARCHAR",
        "occurred_at": "DOUBLE",
        "received_at": "DOUBLE",
        "dwell_s": "DOUBLE",
        "request_id": "VARCHAR",
        "position": "INTEGER",
        "context": "JSON",
        "first": "BOOLEAN",
        "name": "VARCHAR",
        "value": "DOUBLE",
        **_ORIGIN_LINE,
    },
    day="received_at",
    order=f"received_at, {STREAM_ORDER}",
)

_SLOT = {
    "positions": ("position", "INTEGER"),
    "article_ids": ("article_id", "VARCHAR"),
    "scores": ("score", "DOUBLE"),
    "sources_lists": ("sources", "VARCHAR"),
    "reasons": ("reason", "VARCHAR"),
    "are_trending": ("trending", "BOOLEAN"),
    "are_explored": ("explored", "BOOLEAN"),
    "are_pinned": ("pinned", "BOOLEAN"),
    "propensities": ("propensity", "DOUBLE"),
}
"""Lists of an exposure record (see `event_codec.encode_exposure`) and the columns they become."""

SERVED_TABLE = Table(
    SERVED,
    (
        _plain("request_id", "VARCHAR"),
        _plain("user_id", "VARCHAR"),
        _time("served_at"),
        _plain("mode", "VARCHAR"),
        _plain("rung", "VARCHAR"),
        _plain("personalized", "BOOLEAN"),
        _plain("model_version", "VARCHAR"),
        Column("experiments", "VARCHAR", "experiments::VARCHAR"),
        *(_plain(name, kind) for name, kind in _SLOT.values()),
        Column("page_size", "INTEGER", "len(article_ids)::INTEGER"),
        _plain("section", "VARCHAR"),
        _plain("language", "VARCHAR"),
        _from_context("platform"),
        _plain("latency_ms", "DOUBLE"),
        _plain("counters_at", "VARCHAR"),
        _CONTEXT,
        Column("attributes", "VARCHAR", "coalesce(attributes::VARCHAR, '{}')", "'{}'"),
        *_ORIGIN,
    ),
    {
        "request_id": "VARCHAR",
        "user_id": "VARCHAR",
        "served_at": "DOUBLE",
        "mode": "VARCHAR",
        "rung": "VARCHAR",
        "personalized": "BOOLEAN",
        "model_version": "VARCHAR",
        "experiments": "JSON",
        **{many: f"{kind}[]" for many, (_, kind) in _SLOT.items()},
        "section": "VARCHAR",
        "language": "VARCHAR",
        "latency_ms": "DOUBLE",
        "counters_at": "VARCHAR",
        "context": "JSON",
        "attributes": "JSON",
        **_ORIGIN_LINE,
    },
    day="served_at",
    order=f"served_at, {STREAM_ORDER}, position",
    explode={many: one for many, (one, _) in _SLOT.items()},
)

ARTICLES_TABLE = Table(
    ARTICLES,
    (
        _plain("article_id", "VARCHAR"),
        _plain("title", "VARCHAR"),
        _plain("section", "VARCHAR"),
        _plain("source", "VARCHAR"),
        _plain("language", "VARCHAR"),
        _time("published_at"),
        _time("added_at"),
        _time("fresh_at"),
        _time("expires_at"),
        _plain("ai_generated", "VARCHAR"),
        _plain("sponsored", "BOOLEAN"),
        _plain("retracted", "BOOLEAN"),
        _plain("deleted", "BOOLEAN"),
        _plain("embedding", "FLOAT[]"),
        _plain("encoder", "VARCHAR"),
        _time("logged_at"),
        _VERSION,
    ),
    {
        "article_id": "VARCHAR",
        "title": "VARCHAR",
        "section": "VARCHAR",
        "source": "VARCHAR",
        "language": "VARCHAR",
        "published_at": "DOUBLE",
        "added_at": "DOUBLE",
        "fresh_at": "DOUBLE",
        "expires_at": "DOUBLE",
        "ai_generated": "VARCHAR",
        "sponsored": "BOOLEAN",
        "retracted": "BOOLEAN",
        "deleted": "BOOLEAN",
        "embedding": "FLOAT[]",
        "encoder": "VARCHAR",
        "logged_at": "DOUBLE",
    },
    day="logged_at",
    order="logged_at, article_id",
)

IDENTITIES_TABLE = Table(
    IDENTITIES,
    (
        _plain("from_id", "VARCHAR"),
        _plain("to_id", "VARCHAR"),
        _time("merged_at"),
        _plain("keeps_unit_of", "VARCHAR"),
        Column("clicks", "VARCHAR", "clicks::VARCHAR"),
        Column("reactions", "VARCHAR", "reactions::VARCHAR"),
        *_ORIGIN,
    ),
    {
        "from_id": "VARCHAR",
        "to_id": "VARCHAR",
        "merged_at": "DOUBLE",
        "keeps_unit_of": "VARCHAR",
        "clicks": "JSON",
        "reactions": "JSON",
        **_ORIGIN_LINE,
    },
    day="merged_at",
    order=f"merged_at, {STREAM_ORDER}",
)
"""Identity records (see `store.StreamRecord`), `clicks` and `reactions` as JSON."""

TABLES = {
    table.name: table for table in (EVENTS_TABLE, SERVED_TABLE, ARTICLES_TABLE, IDENTITIES_TABLE)
}

READER_COLUMNS = {
    EVENTS: ("user_id",),
    SERVED: ("user_id",),
    IDENTITIES: ("from_id", "to_id"),
}
"""Columns that name a reader, by table."""

_TABLE_OF = {
    RecordType.EVENT: EVENTS,
    RecordType.SERVED: SERVED,
    RecordType.IDENTITY: IDENTITIES,
}


def record_lines(partition: int, records: Sequence[StreamRecord]) -> dict[str, list[bytes]]:
    """Return the JSON lines of a partition's records by table.

    An erase record removes the reader's earlier records of this batch. No line says from which
    network its event came.
    """
    erased: dict[str, int] = {
        orjson.loads(record.payload)["user_id"]: index
        for index, record in enumerate(records)
        if record.type is RecordType.ERASE
    }
    lines: dict[str, list[bytes]] = {table: [] for table in _TABLE_OF.values()}
    for index, record in enumerate(records):
        if record.type is RecordType.ERASE:
            continue
        table = _TABLE_OF[record.type]
        if erased and index < _erased_at(table, record, erased):
            continue
        origin = f',"stream_id":"{record.stream_id}","partition":{partition}}}'
        is_event = record.type is RecordType.EVENT
        fields = archived_fields(record.payload) if is_event else record.payload[:-1]
        lines[table].append(fields + origin.encode())
    return lines


def _erased_at(table: str, record: StreamRecord, erased: Mapping[str, int]) -> int:
    """Return the place of the last erase record for a reader of a record, -1 without any."""
    payload = orjson.loads(record.payload)
    return max(erased.get(payload[column], -1) for column in READER_COLUMNS[table])


def article_line(change: CatalogueChange, logged_at: float) -> bytes:
    """Return the JSON line of one catalogue change."""
    fields: dict[str, Any] = {"article_id": change.article_id, "logged_at": logged_at}
    if change.stored is None:
        fields |= {"deleted": True, "retracted": True, "sponsored": False, "embedding": []}
        fields |= dict.fromkeys(("title", "section", "source", "language", "encoder"), "")
        return orjson.dumps({**fields, "ai_generated": "none"})
    article = change.stored.article
    fields |= {
        "title": article.title,
        "section": article.section,
        "source": article.source,
        "language": article.language,
        "published_at": article.published_at,
        "added_at": change.stored.added_at,
        "fresh_at": change.stored.fresh_at,
        "expires_at": article.expires_at,
        "ai_generated": article.ai_generated.value,
        "sponsored": article.sponsored,
        "retracted": article.retracted,
        "deleted": False,
        "embedding": change.stored.embedding,
        "encoder": change.stored.encoder,
    }
    return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def day_of(epoch_s: float) -> str:
    """Return the UTC day of a time as `YYYY-MM-DD`."""
    return datetime.fromtimestamp(epoch_s, UTC).date().isoformat()


def quoted(paths: Iterable[str]) -> str:
    """Return file names as an SQL list of strings."""
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"

"""ArticleService: the one door into the catalogue, for the API and for sources."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from feed.arrays import Matrix
from feed.catalogue.decisions import TAKEN_BACK, Editor, article_subject, change_entry, reversal
from feed.catalogue.merging import change_fields, merge_submission
from feed.domain import (
    AgeFrom,
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    Submission,
)
from feed.features.embeddings import Encoder, article_text
from feed.storage.catalogue_part import WAITING
from feed.storage.records import AuditEntry, StoredArticle, WriteOutcome
from feed.storage.redis_store import RedisStore

PUBLISHER = "publisher"
"""Encoder name of vectors that came with the article."""
ENCODED_AT_ONCE = 10
"""Texts that are encoded while a source's batch is taken in; those of a larger one wait."""
ENCODED_IN_TURN = 256
"""Waiting articles that each encoder encodes in one go: a second or two of work."""
ATTEMPTS = 50
"""How often a change is tried, because somebody else may change the article meanwhile."""

CREATED, UPDATED, UNCHANGED, ERASED = "created", "updated", "unchanged", "erased"

_NO_ENCODER = "none"

ALLOWED = "allowed again"
"""What the audit log says was done to an erased article that may be written again."""

Note = Callable[[StoredArticle | None, StoredArticle], AuditEntry | None]
"""Takes an article before and after a change; returns the entry about it, None for no entry."""
Revise = Callable[[str, StoredArticle | None], StoredArticle | None]
"""Takes an id and the article as it is; returns it as it is to be, None to write nothing."""


class ArticleService:
    """Adds articles to the catalogue, changes them and removes them.

    Every change is made to the article that was read: if somebody else, in this process or in
    another one, has changed it meanwhile, the change is made again to what is there now.

    Args:
        store: keeps the catalogue, and the events that wait for an article.
        make_encoder: called when a text has to be encoded, until it returns an encoder.
        on_change: called after the catalogue has changed.
    """

    def __init__(
        self,
        store: RedisStore,
        make_encoder: Callable[[], Encoder | None],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._make_encoder = make_encoder
        self._on_change = on_change
        self._encoder: Encoder | None = None
        self._opening = threading.Lock()
        self._encoding = threading.Lock()
        self._taken: set[str] = set()
        self._taking = threading.Lock()

    def upsert(
        self,
        submissions: Sequence[Submission],
        now: float,
        origin: str = "",
        age_from: AgeFrom = AgeFrom.UPDATED,
    ) -> list[str]:
        """Insert or change articles; return created, updated, unchanged or erased for each.

        The API replaces an article and owns what it sets from then on: no source changes it. A
        source changes the other fields. Of several sources, the first supplies the fields,
        and the others add sections and tags and fill empty fields, until one of them sends
        something else than before. A retraction holds until the API takes it back, and an
        erased article is not written until it is restored.

        Submissions of one article count one after the other. Texts are encoded only if they, or
        the encoder, changed. The vectors of a source's large batch are made later, by
        `encode_waiting`; until then an article has none, or that of its earlier text.

        Args:
            submissions: the articles.
            now: epoch seconds.
            origin: the source that they were read from; empty if a caller of the API wrote them.
            age_from: whether a real change by this source makes an article young again.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        sent: dict[str, list[Submission]] = {}
        for one in submissions:
            sent.setdefault(one.article.article_id, []).append(one)

        def revise(article_id: str, stored: StoredArticle | None) -> StoredArticle | None:
            for one in sent[article_id]:
                stored = merge_submission(stored, one, now, origin, age_from)
            return stored

        most = ENCODED_AT_ONCE if origin else None
        statuses = self._change(list(sent), revise, most)
        created = [article_id for article_id, status in statuses.items() if status == CREATED]
        self._store.release_events(created, now)
        same = [article_id for article_id, status in statuses.items() if status == UNCHANGED]
        self._store.keep_articles(same, now)  # the sweep must not forget what a source still has
        return [statuses[one.article.article_id] for one in submissions]

    def patch(
        self,
        submission: Submission,
        editor: Editor,
        released: frozenset[str] = frozenset(),
        *,
        hold: bool = False,
        action: str = "changed",
    ) -> AuditEntry | None:
        """Set the given fields of one article by hand; return the entry, None if nothing changed.

        Args:
            submission: the fields; `given` says which.
            editor: who does it.
            released: fields that sources and deliveries may change again.
            hold: whether later deliveries of the API leave the given fields alone, too.
            action: what the audit log calls it.

        Raises:
            NotFoundError: there is no article of that id.
        """
        return self._change_one(
            submission.article.article_id,
            lambda stored: change_fields(stored, submission, released, editor.at, hold=hold),
            editor,
            action,
        )

    def read(self, article_id: str) -> StoredArticle:
        """Return one article, retracted or not.

        Raises:
            NotFoundError: there is none of that id.
        """
        (stored,) = self._store.read_articles([article_id])
        if stored is None:
            raise NotFoundError("no such article")
        return stored

    def retract(self, article_id: str, editor: Editor, *, hold: bool = False) -> AuditEntry | None:
        """Remove an article from every feed; it can still be read, marked as retracted.

        With `hold`, it stays retracted even if the newsroom delivers it again as not retracted.

        Returns:
            The entry of the audit log; None if it was retracted already.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._change_one(
            article_id,
            lambda stored: _with_retracted(stored, retracted=True, hold=hold),
            editor,
            "retracted",
        )

    def erase(self, article_id: str, editor: Editor) -> None:
        """Remove an article, and let nobody write it again until it is restored.

        Raises:
            NotFoundError: there is none of that id.
        """
        entry = editor.entry(ERASED, article_subject(article_id))
        if not self._store.erase_article(article_id, entry):
            raise NotFoundError("no such article")
        self._on_change()

    def restore(self, article_id: str, editor: Editor) -> AuditEntry | None:
        """Take back a retraction or an erasure; return the entry, None if there was neither.

        An erased article may be written again from then on.

        Raises:
            NotFoundError: there is no article of that id, and none was erased.
        """
        entry = editor.entry(ALLOWED, article_subject(article_id))
        if self._store.restore_article(article_id, entry):
            return entry
        return self._change_one(
            article_id,
            lambda stored: _with_retracted(stored, retracted=False, hold=False),
            editor,
            "restored",
        )

    def take_back(self, entry: AuditEntry, editor: Editor) -> AuditEntry:
        """Take back what an entry of the audit log did to an article; return the new entry.

        Raises:
            NotFoundError: there is no such article any more.
            ConflictError: it was changed since, or the log does not hold what it was before.
        """
        article_id = entry.subject.partition("/")[2]
        change = reversal(entry, editor.at)
        done = self._change_one(article_id, change, editor, TAKEN_BACK)
        if done is None:
            raise ConflictError("the article is already as it was before")
        return done

    def encode(self, article_ids: Sequence[str]) -> int:
        """Encode again those articles whose vectors come from another encoder; return how many."""
        statuses = self._change(list(dict.fromkeys(article_ids)), lambda _, stored: stored)
        return sum(status == UPDATED for status in statuses.values())

    def encode_waiting(self, encoders: int = 1) -> int:
        """Encode some of the articles that wait to be encoded; return how many.

        Threads that call it at the same time take different ones. Of two, one encodes while the
        other writes what it has encoded, and reads what comes next.

        Args:
            encoders: that share the work.
        """
        limit = ENCODED_IN_TURN * encoders
        with self._taking:
            waiting = self._store.unencoded_articles(limit + len(self._taken))
            ids = [one for one in waiting if one not in self._taken][:limit]
            self._taken.update(ids)
        try:
            return self.encode(ids)
        finally:
            with self._taking:
                self._taken.difference_update(ids)

    def _change_one(
        self,
        article_id: str,
        change: Callable[[StoredArticle], StoredArticle],
        editor: Editor,
        action: str,
    ) -> AuditEntry | None:
        entries: list[AuditEntry] = []

        def note(before: StoredArticle | None, after: StoredArticle) -> AuditEntry | None:
            if before is None:
                return None
            entries.append(change_entry(before, after, editor, action))
            return entries[-1]

        status = self._change(
            [article_id], lambda _, stored: None if stored is None else change(stored), note=note
        )[article_id]
        if status == ERASED:
            raise NotFoundError("no such article")
        return entries[-1] if status == UPDATED else None

    def _change(
        self,
        article_ids: Sequence[str],
        revise: Revise,
        most_texts: int | None = None,
        note: Note = lambda _before, _after: None,
    ) -> dict[str, str]:
        """Write revised articles; return the status of each, `erased` if it must not be written.

        If more than `most_texts` have to be encoded, they are left for `encode_waiting`. `note`
        makes the entries of the audit log.
        """
        statuses: dict[str, str] = {}
        vectors: dict[str, Matrix] = {}
        waiting = list(article_ids)
        for _ in range(ATTEMPTS):
            waiting = self._attempt(waiting, revise, vectors, statuses, most_texts, note)
            if not waiting:
                break
        if {CREATED, UPDATED} & set(statuses.values()):
            self._on_change()
        if waiting:
            raise StoreUnavailableError("others keep changing the same articles")
        return statuses

    def _attempt(
        self,
        article_ids: Sequence[str],
        revise: Revise,
        vectors: dict[str, Matrix],
        statuses: dict[str, str],
        most_texts: int | None,
        note: Note,
    ) -> list[str]:
        """Try one change of articles; return those that somebody else changed meanwhile."""
        states = dict(zip(article_ids, self._store.read_states(article_ids), strict=True))
        drafts: list[StoredArticle] = []
        for article_id, state in states.items():
            revised = None if state.is_erased else revise(article_id, state.stored)
            if revised is None:
                statuses[article_id] = ERASED
            else:
                drafts.append(revised)
        changed: list[StoredArticle] = []
        for stored in self._encode(drafts, vectors, most_texts):
            if stored == states[stored.article.article_id].stored:
                statuses[stored.article.article_id] = UNCHANGED
            else:
                changed.append(stored)
        ids = [stored.article.article_id for stored in changed]
        outcomes = self._store.write_articles(
            changed,
            [states[one].digest for one in ids],
            [note(states[one].stored, revised) for one, revised in zip(ids, changed, strict=True)],
            [
                _is_anew(states[one].stored, revised)
                for one, revised in zip(ids, changed, strict=True)
            ],
        )
        for article_id, outcome in zip(ids, outcomes, strict=True):
            if outcome is WriteOutcome.WRITTEN:
                is_new = states[article_id].stored is None
                statuses[article_id] = CREATED if is_new else UPDATED
            elif outcome is WriteOutcome.ERASED:
                statuses[article_id] = ERASED
        written = zip(ids, outcomes, strict=True)
        return [one for one, outcome in written if outcome is WriteOutcome.CONFLICT]

    def _encode(
        self,
        drafts: Sequence[StoredArticle],
        vectors: dict[str, Matrix],
        most_texts: int | None,
    ) -> list[StoredArticle]:
        """Return articles with their vectors; `vectors` holds those of this change by hash."""
        with self._opening:
            encoder = self._open() if any(d.article.embedding is None for d in drafts) else None
        described = [_describe(draft, encoder.name if encoder else _NO_ENCODER) for draft in drafts]
        if encoder is None:
            return described
        texts = {d.text_hash: article_text(d.article) for d in described if not d.embedding.size}
        missing = [digest for digest in texts if digest not in vectors]
        if most_texts is not None and len(missing) > most_texts:
            return [
                d if d.embedding.size else replace(d, encoder=WAITING, embedding=draft.embedding)
                for d, draft in zip(described, drafts, strict=True)
            ]
        if missing:
            with self._encoding:
                made = encoder.encode([texts[digest] for digest in missing])
            vectors.update(zip(missing, made, strict=True))
        return [
            d if d.embedding.size else replace(d, embedding=vectors[d.text_hash]) for d in described
        ]

    def _open(self) -> Encoder | None:
        if self._encoder is None:
            self._encoder = self._make_encoder()
        return self._encoder


def _describe(draft: StoredArticle, encoder_name: str) -> StoredArticle:
    """Return an article with the hash of its text, and without a vector if one must be made."""
    text = article_text(draft.article).encode("utf-8", "replace")
    digest = hashlib.blake2b(text, digest_size=16).hexdigest()
    if draft.article.embedding is not None:
        vector, encoder_name = np.array(draft.article.embedding, np.float32), PUBLISHER
    elif (draft.text_hash, draft.encoder) == (digest, encoder_name):
        vector = draft.embedding
    else:
        vector = np.zeros(0, np.float32)
    return replace(draft, embedding=vector, encoder=encoder_name, text_hash=digest)


def _is_anew(before: StoredArticle | None, after: StoredArticle) -> bool:
    """Return whether an article had a vector of one encoder, and has one of another now."""
    if before is None or WAITING in (before.encoder, after.encoder):
        return False
    return before.encoder != after.encoder and bool(before.embedding.size and after.embedding.size)


def _with_retracted(stored: StoredArticle, *, retracted: bool, hold: bool) -> StoredArticle:
    if stored.article.retracted == retracted:
        return stored
    field = frozenset({"retracted"})
    held = stored.held | field if hold else stored.held - field
    article = replace(stored.article, retracted=retracted)
    return replace(stored, article=article, owned=stored.owned | field, held=held)

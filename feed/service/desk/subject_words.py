"""What an entry of the audit log is about, in words and with the page of the thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from feed.service.account_presentation import read_titles
from feed.service.services import Services
from feed.storage.records import AuditEntry

_OF_ARTICLES = {"articles": "article", "pins": "pin of"}
_PLACES = {
    "articles": "/desk/articles/",
    "pins": "/desk/articles/",
    "readers": "/desk/readers/",
    "experiments": "/experiments/",
}
_KINDS = {"readers": "reader", "experiments": "experiment", "keys": "key", "sources": "source"}
_WHOLE = {
    "pins": ("pins", "/desk/articles"),
    "limits": ("limits of the front page", "/desk/front-page"),
    "settings": ("settings of the ranking", "/desk/settings"),
    "models": ("models", "/desk/models"),
    "sources": ("sources", "/desk/sources"),
    "desk": ("", ""),
}


@dataclass(frozen=True, slots=True)
class SubjectWords:
    """A subject as people say it, and the address of its page; both may be empty."""

    text: str
    page: str = ""


def subjects_in_words(services: Services, entries: Iterable[AuditEntry]) -> dict[str, SubjectWords]:
    """Return the subjects of entries in words, with the titles of articles and names of sources.

    Raises:
        StoreUnavailableError: the title of an article cannot be read.
    """
    entries = list(entries)
    subjects = {entry.subject for entry in entries}
    ids = [name for kind, name in map(_parts, subjects) if kind in _OF_ARTICLES and name]
    titles = read_titles(services.card_cache, ids)
    names = {_parts(entry.subject)[1]: name for entry in entries if (name := _source_name(entry))}
    return {subject: _words_of(subject, titles, names) for subject in subjects}


def _words_of(subject: str, titles: dict[str, str], names: dict[str, str]) -> SubjectWords:
    kind, name = _parts(subject)
    if kind in _OF_ARTICLES and name:
        said = f"“{titles[name]}”" if name in titles else name
        return SubjectWords(f"{_OF_ARTICLES[kind]} {said}", _PLACES[kind] + quote(name, safe=""))
    if kind in _WHOLE and (not name or kind not in _KINDS):
        return SubjectWords(*_WHOLE[kind])
    if kind in _KINDS:
        page = _PLACES[kind] + quote(name, safe="") if kind in _PLACES else ""
        page = page or _WHOLE.get(kind, ("", ""))[1]
        return SubjectWords(f"{_KINDS[kind]} {names.get(name, name)}", page)
    return SubjectWords(subject)


def _source_name(entry: AuditEntry) -> str:
    held = entry.after or entry.before or {}
    is_source = entry.subject.startswith("sources/")
    return str(held.get("name") or held.get("address") or "") if is_source else ""


def _parts(subject: str) -> tuple[str, str]:
    kind, _, name = subject.partition("/")
    return kind, name

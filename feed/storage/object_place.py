"""ObjectPlace: a DataPlace in an object store. The only module that knows obstore.

It is imported only where `FEED_DATA_URL` names an object store. Credentials and the address of the
store come from the variables that its own tools read, such as `AWS_ACCESS_KEY_ID` and
`AWS_ENDPOINT_URL`, and appear in no message.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feed.domain import ConflictError, InvalidInputError
from feed.storage.data_place import ABSENT, DataPlaceError, Stored

try:
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        NotModifiedError,
        PreconditionError,
    )
    from obstore.store import ObjectStore, from_url

    if TYPE_CHECKING:
        from obstore import GetResult, ObjectMeta
        from obstore.store import ClientConfig, RetryConfig

    MISSING = False
except ImportError:  # the extra `objects` is not installed
    MISSING = True

TRIES = 3
"""How often a file is fetched whose content does not have its digest."""

_CLIENT: ClientConfig = {
    "connect_timeout": "5s",
    "read_timeout": "20s",
    "timeout": "300s",
    "allow_http": True,  # of an address with http://, which only the operator gives
}
_RETRIES_S = 20
_CHUNK = 1 << 20
_STATUS = re.compile(r"<Code>(\w+)</Code>|non-2xx status code: (\d+ [A-Za-z ]+)")
_LOST = "somebody else has changed {}"


_OF_OBJECT_STORES = ("AWS_", "AZURE_", "GOOGLE_")
_ADDRESSES = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def _check_variables() -> None:
    """Take empty variables of object stores for absent, as their own tools do.

    obstore reads them by itself, and ends the process if an address is none.

    Raises:
        InvalidInputError: a variable that must be an address is none.
    """
    for name, value in list(os.environ.items()):
        if name.startswith(_OF_OBJECT_STORES) and not value:
            del os.environ[name]
    for name in _ADDRESSES:
        if not _is_address(os.environ.get(name, "https://default")):
            raise InvalidInputError(name, "must be an address with http:// or https://")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no host of that form, or a port that is no number
        return False


class ObjectPlace:
    """The objects below one URL.

    A request that fails is repeated for `_RETRIES_S` seconds. If the answer to a write was lost,
    the repetition is refused, and what is there is compared with what was to be written.

    Args:
        url: such as `s3://bucket/prefix`, without credentials.
        field_name: how messages call the URL.

    Raises:
        InvalidInputError: the extra is not installed, the URL is none of an object store, or a
            variable of the object store is wrong.
    """

    def __init__(self, url: str, field_name: str = "FEED_DATA_URL") -> None:
        if MISSING:
            raise InvalidInputError(field_name, "needs the extra: pip install 'feed[objects]'")
        self.url, self._field = url, field_name
        _check_variables()
        retries: RetryConfig = {
            "max_retries": 5,
            "retry_timeout": timedelta(seconds=_RETRIES_S),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        }
        try:
            self._store: ObjectStore = from_url(
                url,
                client_options=_CLIENT,
                retry_config=retries,
            )
        except (BaseError, ValueError) as error:
            raise InvalidInputError(field_name, f"cannot be used: {_short(error)}") from None

    def probe(self) -> None:
        """Check that the place can be listed.

        Raises:
            InvalidInputError: it cannot: names the setting and the store's reason.
        """
        try:
            next(iter(self._store.list(chunk_size=1)), None)
        except (BaseError, OSError) as error:
            rule = f"{self.url} cannot be listed: {_short(error)}"
            raise InvalidInputError(self._field, rule) from None

    def list(self, prefix: str = "") -> list[str]:
        """Return the names below a prefix, sorted."""
        return sorted(self.ages(prefix))

    def ages(self, prefix: str = "") -> dict[str, float]:
        """Return the names below a prefix, with the seconds since they were written."""
        now = time.time()
        listed = self._listed(prefix)
        return {one["path"]: now - one["last_modified"].timestamp() for one in listed}

    def etags(self, prefix: str = "") -> dict[str, str]:
        """Return the names below a prefix, with their ETags."""
        return {one["path"]: one["e_tag"] or ABSENT for one in self._listed(prefix)}

    def _listed(self, prefix: str) -> Sequence[ObjectMeta]:
        with self._errors("list"):
            return [one for chunk in self._store.list(prefix or None) for one in chunk]

    def read(self, name: str) -> Stored | None:
        """Return what has a name, or None."""
        with self._errors("read"), suppress(FileNotFoundError):
            return _stored(self._store.get(name))
        return None

    def read_if_changed(self, name: str, etag: str) -> Stored | None:
        """Return what has a name if its ETag is another one; None also if nothing has it."""
        options = {"if_none_match": etag} if etag else {}
        with self._errors("read"), suppress(FileNotFoundError, NotModifiedError):
            return _stored(self._store.get(name, options=options))  # type: ignore[arg-type]
        return None

    def exists(self, name: str) -> bool:
        """Return whether anything has a name."""
        with self._errors("read"), suppress(FileNotFoundError):
            self._store.head(name)
            return True
        return False

    def read_end(self, name: str, length: int) -> bytes | None:
        """Return the last bytes of what has a name, or None."""
        with self._errors("read"), suppress(FileNotFoundError):
            size = self._store.head(name)["size"]
            start = max(0, size - length)
            if size == 0:
                return b""
            return bytes(self._store.get_range(name, start=start, end=size))
        return None

    def create(self, name: str, data: bytes) -> None:
        """Write under a name that is free; see `DataPlace.create`."""
        self.replace(name, data, ABSENT)

    def replace(self, name: str, data: bytes, etag: str) -> None:
        """Write if the ETag is still the one given; see `DataPlace.replace`."""
        with self._errors("write"):
            try:
                mode = {"e_tag": etag} if etag else "create"
                self._store.put(name, data, mode=mode)  # type: ignore[arg-type]
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                found = self.read(name)  # an earlier try may have been done, and its answer lost
                if found is None or found.data != data:
                    raise ConflictError(_LOST.format(name)) from None

    def overwrite(self, name: str, data: bytes) -> None:
        """Write whatever is there: only for what one process owns."""
        with self._errors("write"):
            self._store.put(name, data)

    def upload(self, path: Path, name: str) -> None:
        """Write a file under a name that says its content, so that repeating it does no harm."""
        with self._errors("write"):
            self._store.put(name, path)

    def download(self, name: str, path: Path, digest: str) -> None:
        """Write an object to a file whose name appears when it is whole.

        Args:
            name: of the object.
            path: the file; its directory is made.
            digest: how the SHA-256 of the content begins, in hexadecimal.

        Raises:
            FileNotFoundError: there is no such object.
            DataPlaceError: it cannot be read, or its content is another one.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.fetched")
        try:
            for _ in range(TRIES):
                if self._fetch(name, aside).startswith(digest):
                    aside.replace(path)
                    return
        finally:
            aside.unlink(missing_ok=True)
        raise DataPlaceError(f"{self.url}/{name} does not have the content that was written")

    def _fetch(self, name: str, path: Path) -> str:
        digest = hashlib.sha256()
        with self._errors("read"), path.open("wb") as file:
            for chunk in self._store.get(name).stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def delete(self, name: str) -> None:
        """Delete what has a name, if anything has."""
        with self._errors("delete from"), suppress(FileNotFoundError):
            self._store.delete(name)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except BaseError as error:
            message = f"cannot {what} {self.url} ({self._field}): {_short(error)}"
            raise DataPlaceError(message) from error


def _stored(result: GetResult) -> Stored:
    return Stored(bytes(result.bytes()), result.meta["e_tag"] or ABSENT)


def _short(error: Exception) -> str:
    """Return the store's reason in a few words; its whole answer may be a page."""
    found = _STATUS.findall(str(error))
    codes = [code for code, _ in found if code] or [status.strip() for _, status in found]
    if codes:
        return str(codes[0])
    if "/latest/api/token" in str(error) or "metadata" in str(error):  # the last place to look
        return "no credentials were found, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return " ".join(str(error).split("\n\nDebug")[0].split())[:200]

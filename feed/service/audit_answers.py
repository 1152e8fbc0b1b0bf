"""What the API answers about the audit log."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

READERS = "readers"
"""The subject of entries that admins alone see: who looked at which reader."""


class AuditEntryOut(BaseModel):
    """Who changed what, and when."""

    id: str = Field(description="16 hex digits; empty in entries of earlier versions")
    at: str
    by: str = Field(
        description="name of the API key, `open access`, `command line (USER)` or `worker`"
    )
    action: str
    subject: str = Field(
        description="what was changed, such as experiments/NAME, articles/ID or settings"
    )
    before: dict[str, Any] | None = Field(description="what changed, as it was")
    after: dict[str, Any] | None = Field(description="what changed, as it is now")


class AuditOut(BaseModel):
    """Entries of the audit log, the newest first."""

    entries: list[AuditEntryOut]

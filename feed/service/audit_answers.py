"""What the API answers about the audit log."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class AuditEntryOut(BaseModel):
    """Who changed what, and when."""

    at: str
    by: str = Field(
        description="name of the API key, `open access`, `command line (USER)` or `worker`"
    )
    action: str
    subject: str = Field(description="what was changed: experiments/NAME")
    before: dict[str, Any] | None = Field(description="what changed, as it was")
    after: dict[str, Any] | None = Field(description="what changed, as it is now")


class AuditOut(BaseModel):
    """Entries of the audit log, the newest first."""

    entries: list[AuditEntryOut]

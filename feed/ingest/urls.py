"""Completes addresses as feeds write them: relative, without a scheme, with spaces, or broken."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import httpx


def is_web_address(text: str) -> bool:
    """Return whether a text begins as an http(s) address does."""
    return text.lower().startswith(("http://", "https://"))


def join_address(base: str, text: str) -> str:
    """Return an address resolved against another one, or unchanged if that fails."""
    try:
        return urljoin(base, text)
    except ValueError:
        return text


def full_address(text: str, base: str) -> str:
    """Return an absolute http(s) address, properly quoted, or an empty text if it is not one."""
    text = text.strip()
    if text.startswith("//") and not base:
        text = f"https:{text}"
    try:
        address = httpx.URL(join_address(base, text) if text else "")
    except httpx.InvalidURL:
        return ""
    has_host = bool(address.host) and "%" not in address.host
    return str(address) if has_host and is_web_address(str(address)) else ""


def host_of(address: str) -> str:
    """Return the host of an address without `www.`, empty if there is none."""
    try:
        return (urlsplit(address).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def mask_login(address: str, mask: bytes = b"***") -> str:
    """Return an address with a mask instead of the name and the password before its host."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return ""
    return str(url.copy_with(userinfo=mask) if url.userinfo else url)


def lend_login(address: str, owner: str) -> str:
    """Return an address with the login of another one, if both belong to one server."""
    try:
        url, lender = httpx.URL(address), httpx.URL(owner)
    except httpx.InvalidURL:
        return address
    one_server = (url.scheme, url.netloc) == (lender.scheme, lender.netloc)
    return str(url.copy_with(userinfo=lender.userinfo)) if one_server else address

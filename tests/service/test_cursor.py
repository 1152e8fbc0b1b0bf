import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.domain import CursorExpiredError, InvalidInputError
from feed.service.cursor import Cursor, CursorSigner

SIGNER = CursorSigner(b"secret of the installation")


@given(user=st.text(min_size=1), request_id=st.text(max_size=40), offset=st.integers(0, 10_000))
def test_a_cursor_comes_back_as_it_was_signed(user: str, request_id: str, offset: int) -> None:
    if any(0xD800 <= ord(c) <= 0xDFFF for c in request_id):
        request_id = "r"
    cursor = Cursor(request_id, offset, 1_000)
    assert SIGNER.read(user, SIGNER.sign(user, cursor), now=999.0) == cursor


def test_a_cursor_ends_with_its_time() -> None:
    text = SIGNER.sign("reader", Cursor("r1", 20, 1_000))
    with pytest.raises(CursorExpiredError):
        SIGNER.read("reader", text, now=1_000.0)


def test_a_cursor_of_another_reader_is_forged() -> None:
    text = SIGNER.sign("reader", Cursor("r1", 20, 1_000))
    with pytest.raises(InvalidInputError):
        SIGNER.read("other", text, now=0.0)


def test_a_cursor_signed_with_another_secret_is_forged() -> None:
    text = CursorSigner(b"another").sign("reader", Cursor("r1", 20, 1_000))
    with pytest.raises(InvalidInputError):
        SIGNER.read("reader", text, now=0.0)


@given(st.text())
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidInputError):
        SIGNER.read("reader", text, now=0.0)


def test_changing_one_character_breaks_a_cursor() -> None:
    text = SIGNER.sign("reader", Cursor("r1", 20, 1_000))
    for at in range(len(text) - 1):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(InvalidInputError):
            SIGNER.read("reader", changed, now=0.0)

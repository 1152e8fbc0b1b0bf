"""Texts without markup are read like those with it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from feed.ingest.markup import read_markup

FOOTER = " The post Ferry rams pier appeared first on The Paper."


@given(text=st.text(st.characters(exclude_characters="<&\0"), max_size=60))
@example(text="\ufeffFer\u00adry  rams\r\npier\x0c and\x85 lighthouse\ud800")
@example(text="Twenty-two people were hurt." + FOOTER)
def test_a_text_without_markup_reads_as_within_a_paragraph(text: str) -> None:
    assert read_markup(text) == read_markup(f"<p>{text}</p>")
    assert read_markup(text).pictures == ()


def test_a_text_keeps_its_words_and_loses_what_nobody_sees() -> None:
    assert read_markup(" Fer\u00adry\n rams pier" + FOOTER).plain == "Ferry rams pier"

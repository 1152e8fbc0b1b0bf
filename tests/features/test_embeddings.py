"""Both encoders, on real texts: like texts lie near each other, and vectors are of unit length."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from feed.domain import Article, BundleError
from feed.features.embeddings import (
    BODY_CHARACTERS,
    SENTENCE_ENCODER,
    SentenceEncoder,
    TfidfSvdEncoder,
    article_text,
)

TEXTS = [
    "The ferry to the island stops because of the storm",
    "Storm keeps the ferry in the harbour",
    "The central bank raises its interest rate again",
    "Interest rate of the central bank stays high",
    "Storm and ferry, bank and rate: the week in words",
]
FERRY, ALSO_FERRY, BANK, ALSO_BANK = range(4)


@pytest.fixture(scope="module")
def sentence() -> SentenceEncoder:
    return SentenceEncoder(threads=1)


@pytest.fixture(scope="module")
def tfidf() -> TfidfSvdEncoder:
    return TfidfSvdEncoder.fit(TEXTS, dimensions=3)


@pytest.mark.parametrize("name", ["sentence", "tfidf"])
def test_texts_of_one_subject_are_nearer_than_others(name, request):
    encoder = request.getfixturevalue(name)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimensions)
    assert vectors.dtype == np.float32
    near = vectors @ vectors.T
    assert near[FERRY, ALSO_FERRY] > near[FERRY, BANK] + 0.2
    assert near[BANK, ALSO_BANK] > near[BANK, FERRY] + 0.2


@pytest.mark.parametrize("name", ["sentence", "tfidf"])
def test_vectors_have_unit_length_or_are_zero_without_words(name, request):
    encoder = request.getfixturevalue(name)
    vectors = encoder.encode([TEXTS[0], "  ", TEXTS[2], ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 0], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dimensions)


@pytest.mark.parametrize("name", ["sentence", "tfidf"])
def test_a_text_has_one_vector_whatever_stands_beside_it(name, request):
    encoder = request.getfixturevalue(name)
    together = encoder.encode(TEXTS)
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], together[place], atol=1e-4)


def test_more_texts_than_a_batch_keep_their_order(sentence):
    texts = [f"{'Rain. ' * (n % 3)}Report number {n}" for n in range(66)]
    vectors = sentence.encode(texts)
    assert (np.linalg.norm(vectors, axis=1) > 0.99).all()
    for place in (0, 1, 65):
        np.testing.assert_allclose(sentence.encode([texts[place]])[0], vectors[place], atol=1e-4)


def test_the_sentence_encoder_knows_languages(sentence):
    german, other = sentence.encode(["Die Zentralbank erhöht den Zinssatz", "A cat sleeps"])
    bank = sentence.encode([TEXTS[BANK]])[0]
    assert german @ bank > other @ bank + 0.3
    assert (sentence.name, sentence.dimensions) == (SENTENCE_ENCODER, 512)


def test_a_fitted_encoder_is_kept_in_a_file(tfidf, tmp_path):
    tfidf.save(tmp_path / "tfidf.npz")
    loaded = TfidfSvdEncoder.load(tmp_path / "tfidf.npz")
    assert loaded.name == tfidf.name
    np.testing.assert_array_equal(loaded.encode(TEXTS), tfidf.encode(TEXTS))


def test_a_file_that_is_no_encoder_is_named(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK and no more")
    for name in ("broken.npz", "missing.npz"):
        with pytest.raises(BundleError, match=name):
            TfidfSvdEncoder.load(tmp_path / name)


def test_the_name_tells_encoders_apart(tfidf):
    assert tfidf.name.startswith("tfidf-svd-9-3-")
    assert TfidfSvdEncoder.fit(TEXTS[:4], dimensions=3).name != tfidf.name
    assert TfidfSvdEncoder.fit(TEXTS, dimensions=2).dimensions == 2


def test_rare_words_are_left_out_unless_that_leaves_none():
    assert TfidfSvdEncoder.fit(["storm", "storm sea"]).name.startswith("tfidf-svd-1-1-")
    assert TfidfSvdEncoder.fit(["ferry", "bank sea"]).name.startswith("tfidf-svd-3-")


def test_texts_without_a_word_fit_no_encoder():
    with pytest.raises(BundleError, match="no text"):
        TfidfSvdEncoder.fit(["", "! ?"])


def test_frequent_words_weigh_less():
    texts = ["common ferry", "common bank", "common storm", "common ferry bank storm"]
    encoder = TfidfSvdEncoder.fit(texts, dimensions=10)
    common, ferry = encoder.encode(["common"])[0], encoder.encode(["ferry"])[0]
    both = encoder.encode(["common ferry"])[0]
    assert both @ ferry > both @ common


def test_an_article_stands_by_title_standfirst_and_the_start_of_its_body():
    body = "b" * BODY_CHARACTERS + "x"
    article = Article(article_id="a", title=" Title ", standfirst="", body=body, published_at=0.0)
    assert article_text(article) == "Title\n" + "b" * BODY_CHARACTERS


def test_the_same_texts_fit_the_same_encoder():
    first, again = (TfidfSvdEncoder.fit(TEXTS, dimensions=3) for _ in range(2))
    np.testing.assert_array_equal(first.encode(TEXTS), again.encode(TEXTS))


def test_the_first_dimension_tells_most():
    texts = ["ferry storm"] * 6 + ["bank rate"] * 2
    vectors = np.abs(TfidfSvdEncoder.fit(texts, dimensions=2).encode(texts))
    np.testing.assert_allclose(vectors, [[1, 0]] * 6 + [[0, 1]] * 2, atol=1e-5)


def test_few_words_are_kept_as_they_are():
    encoder = TfidfSvdEncoder.fit(["ferry"])
    assert encoder.encode(["ferry", "bank"]).tolist() == [[1.0], [0.0]]


def test_threads_share_the_texts_and_leave_the_process_its_own(sentence):
    texts = [f"{TEXTS[number % len(TEXTS)]} {number}" for number in range(70)]
    before = threadpool_info()
    together = SentenceEncoder(threads=3).encode(texts)
    assert threadpool_info() == before
    for place in (0, 33, 69):
        np.testing.assert_allclose(sentence.encode([texts[place]])[0], together[place], atol=1e-4)

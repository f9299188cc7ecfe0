"""Envelopes: what is signed cannot be altered, moved or passed off as something else."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import SignatureError, StorageError
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

LAB, OTHER = SigningKey.generate(), SigningKey.generate()
PINNED = {"lab": LAB.public}


def letter(content: object = "hello", key: SigningKey = LAB) -> Envelope:
    return Envelope.sign("round", "befriending", "lab", "north", content, key)


def test_an_envelope_comes_back_from_its_bytes_and_verifies():
    again = Envelope.from_bytes(letter({"a": [1, 2.5]}).to_bytes())
    assert again.verified(PINNED).content() == {"a": [1, 2.5]}


def test_the_same_content_signed_twice_gives_the_same_bytes():
    assert letter().to_bytes() == letter().to_bytes()


@pytest.mark.parametrize("field", ["kind", "study", "recipient", "body", "signature"])
def test_no_field_can_be_altered(field: str):
    fields = json.loads(letter().to_bytes())
    if field in ("body", "signature"):
        raw = bytearray(base64.b64decode(fields[field]))
        raw[0] ^= 1
        fields[field] = base64.b64encode(bytes(raw)).decode()
    else:
        fields[field] += "x"
    with pytest.raises(SignatureError, match="does not fit"):
        Envelope.from_bytes(canonical_bytes(fields)).verified(PINNED)


def test_a_sender_who_is_not_pinned_is_refused():
    with pytest.raises(SignatureError, match="not pinned"):
        letter().verified({"somebody": LAB.public})


def test_another_key_cannot_sign_for_a_pinned_name():
    with pytest.raises(SignatureError, match="does not fit"):
        letter(key=OTHER).verified(PINNED)


def test_a_body_that_is_not_canonical_is_refused_even_when_signed():
    good = letter()
    body = b'{ "a": 1 }'
    from cohortium_protocols.signing import _signed

    forged = Envelope("round", "befriending", "lab", "north", body,
                      LAB.sign(_signed("round", "befriending", "lab", "north", body)))  # fmt: skip
    assert forged.verified(PINNED) is forged
    assert good.content() == "hello"
    with pytest.raises(SignatureError, match="not canonical"):
        forged.content()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_refused_with_a_sentence(data: bytes):
    with pytest.raises(SignatureError, match="not a signed envelope"):
        Envelope.from_bytes(data)


def test_an_envelope_has_one_form_only():
    """Otherwise the same message could come again as other bytes, and count as another one."""
    with pytest.raises(SignatureError, match="not a signed envelope"):
        Envelope.from_bytes(letter().to_bytes() + b" ")


def test_keys_are_kept_for_their_owner_only_and_never_overwritten(tmp_path: Path):
    path = tmp_path / "keys" / "lab.pem"
    LAB.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == LAB.public
    with pytest.raises(StorageError, match="cannot be written"):
        OTHER.save(path)


def test_a_public_key_survives_being_written_down():
    assert VerifyKey.from_text(f" {LAB.public.text}\n") == LAB.public
    assert len(LAB.public.fingerprint.split()) == 8


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:%%%"])
def test_text_that_is_no_key_is_refused(text: str):
    with pytest.raises(SignatureError, match="not a public key"):
        VerifyKey.from_text(text)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))  # fmt: skip
def test_canonical_bytes_are_one_form_of_a_value(value: object):
    assert canonical_bytes(json.loads(canonical_bytes(value))) == canonical_bytes(value)

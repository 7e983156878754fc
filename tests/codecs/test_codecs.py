"""Codecs as values: what they do to a payload, and what they refuse."""

from __future__ import annotations

import os

import pytest

from holdfast import SerializationError
from holdfast.codecs import AesGcm, Chain, Codec, Zstd
from holdfast.errors import LoadFailed
from holdfast.sealing import Sealing, named_codec
from holdfast.serialization import decode_value
from holdfast.v1 import event_pb2
from holdfast.v1.payload_pb2 import Payload

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
SECRET = AesGcm({"2025": OLD}, "2025")

CODECS: list[Codec] = [Zstd(bytes_min=0), SECRET, Chain(Zstd(), SECRET), Chain(SECRET, Zstd(bytes_min=0))]

PAYLOADS = [
    Payload(text='{"card":"4242"}'),
    Payload(text='"é"' * 5000, metadata={"args": "positional"}),
    Payload(text=""),
    Payload(data=b"\x00\xff" * 5000, content_type="application/octet-stream"),
    Payload(data=b""),
    Payload(text="<p>", content_type="text/html; charset=utf-8"),
    Payload(metadata={"nothing": "here"}),
]


@pytest.mark.parametrize("codec", CODECS, ids=range(len(CODECS)))
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_was_encoded_is_decoded_to_the_same_value(codec: Codec, payload: Payload) -> None:
    decoded = codec.decode(codec.encode(payload))
    assert decoded.metadata == payload.metadata
    assert decoded.content_type == payload.content_type
    assert (decoded.text or decoded.data.decode("latin-1")) == (payload.text or payload.data.decode("latin-1"))
    assert (decoded.WhichOneof("body") is None) == (payload.WhichOneof("body") is None)


def test_equal_values_are_equal_when_encoded_and_others_are_not() -> None:
    codec = Chain(Zstd(), AesGcm({"a": OLD}, "a"))
    again = Chain(Zstd(), AesGcm({"a": OLD}, "a"))
    assert codec.encode(PAYLOADS[0]) == again.encode(PAYLOADS[0])
    assert codec.encode(PAYLOADS[0]).data != codec.encode(Payload(text='{"card":"4243"}')).data
    assert codec.encode(PAYLOADS[0]).data[:12] != codec.encode(Payload(text='{"card":"4243"}')).data[:12]


def test_the_codings_are_told_in_the_order_applied() -> None:
    sealed = Chain(Zstd(), SECRET).encode(PAYLOADS[1])
    assert sealed.content_encoding == "zstd,aes256gcm"
    assert sealed.metadata == {"args": "positional", "aes256gcm-key": "2025"}
    assert len(sealed.data) < 1000


def test_an_encrypted_value_shows_nothing_of_itself() -> None:
    assert b"4242" not in SECRET.encode(PAYLOADS[0]).SerializeToString()


def test_what_compression_would_not_make_smaller_stays_as_it_is() -> None:
    assert Zstd().encode(PAYLOADS[0]) == PAYLOADS[0]
    noise = Payload(data=os.urandom(5000))
    assert Zstd().encode(noise) == noise


def test_a_new_key_encrypts_and_the_old_one_still_decrypts() -> None:
    rotated = AesGcm({"2025": OLD, "2026": NEW}, "2026")
    assert rotated.encode(PAYLOADS[0]).metadata["aes256gcm-key"] == "2026"
    assert rotated.decode(SECRET.encode(PAYLOADS[0])) == PAYLOADS[0]


def test_a_key_that_is_not_here_is_named() -> None:
    with pytest.raises(SerializationError, match="the key '2025', which this process does not have"):
        AesGcm({"2026": NEW}, "2026").decode(SECRET.encode(PAYLOADS[0]))


def test_a_wrong_key_is_told_without_telling_a_secret() -> None:
    with pytest.raises(SerializationError, match="cannot be decrypted with the key '2025'") as refused:
        AesGcm({"2025": NEW}, "2025").decode(SECRET.encode(PAYLOADS[0]))
    assert NEW.hex() not in str(refused.value) and "4242" not in str(refused.value)


@pytest.mark.parametrize("change", ["body", "type", "codings", "short"])
def test_a_value_that_was_changed_on_its_way_is_refused(change: str) -> None:
    sealed = SECRET.encode(PAYLOADS[0])
    if change == "body":
        sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    elif change == "type":
        sealed.content_type = "text/html"
    elif change == "codings":
        sealed.content_encoding = f"zstd,{sealed.content_encoding}"
    else:
        sealed.data = sealed.data[:5]
    with pytest.raises(SerializationError, match="cannot be decrypted"):
        SECRET.decode(sealed)


def test_a_value_that_would_explode_is_refused() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(65 * 1024 * 1024))
    with pytest.raises(SerializationError, match="when decompressed"):
        Zstd().decode(Payload(data=bomb, content_encoding="zstd"))
    with pytest.raises(SerializationError, match="cannot be decompressed"):
        Zstd().decode(Payload(data=b"no zstd", content_encoding="zstd"))


def test_a_value_under_a_foreign_coding_is_left_alone_and_refused_by_the_reader() -> None:
    foreign = Payload(data=b"x", content_encoding="gzip")
    assert Chain(Zstd(), SECRET).decode(foreign) == foreign
    with pytest.raises(SerializationError, match="gzip, which cannot be read without a codec"):
        decode_value(str, foreign)


@pytest.mark.parametrize(
    ("keys", "key_id", "said"),
    [({"a": b"short"}, "a", "16, 24 or 32 bytes"), ({"a": OLD}, "b", "key_id must be one of a")],
)
def test_bad_keys_are_refused_where_they_are_given(keys: dict[str, bytes], key_id: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AesGcm(keys, key_id)


def test_every_value_of_a_message_is_sealed_and_the_message_itself_is_not_changed() -> None:
    event = event_pb2.Event(step_retrying=event_pb2.StepRetrying(heartbeat_details=Payload(text="[1]")))
    event.step_retrying.failure.cause.details.text = "[2]"
    event.step_retrying.failure.cause.message = "4242"
    sealing = Sealing(SECRET)
    before, sealed = event.SerializeToString(), sealing.seal(event)
    assert event.SerializeToString() == before
    assert sealed.step_retrying.heartbeat_details.content_encoding == "aes256gcm"
    assert sealed.step_retrying.failure.cause.details.content_encoding == "aes256gcm"
    assert sealed.step_retrying.failure.cause.message == "encoded"
    assert sealing.seal(sealed) == sealed
    assert sealing.open(sealed) == event
    assert sealing.open(event) is event


def test_a_body_that_was_left_out_is_no_value_to_decode() -> None:
    left_out = event_pb2.Event(hook_received=event_pb2.HookReceived(payload=Payload(content_encoding="aes256gcm")))
    assert Sealing(SECRET).open(left_out) is left_out


def test_a_codec_is_found_by_name(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.path.join(tmp_path, "codec_by_name.py")
    with open(path, "w") as file:
        file.write("from holdfast.codecs import Zstd\nour_codec = Zstd()\nno_codec = 7\n")
    assert isinstance(named_codec(f"{path}:our_codec"), Zstd)
    monkeypatch.setenv("HOLDFAST_CODEC", f"{path}:our_codec")
    assert isinstance(named_codec(), Zstd)
    assert named_codec("") is None
    refused = {"our_codec": "module:object", f"{path}:no_codec": "is no codec", "nowhere:codec": "nowhere"}
    for bad, said in refused.items():
        with pytest.raises(LoadFailed, match=said):
            named_codec(bad)

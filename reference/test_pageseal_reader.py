"""Tests of the independent reader.

The writer below follows docs/FORMAT.md with literal offsets and shares no constant, struct or
function with the reader, so that a slip in one of them does not cancel out. XAES-256-GCM is sealed
with the key derivation function of `cryptography`, opened with the reader's own composition.

PAGESEAL_EVERY_BYTE=1 flips every byte of the small file instead of a sample (about half a minute).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nacl.bindings
import pageseal_reader as reader
import pyaegis
import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

READER_PATH = Path(reader.__file__)
SUITES = (1, 2, 3)
LENGTHS = (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 200000)
IDENTITY = pyrage.x25519.Identity.generate()
STRANGER = pyrage.x25519.Identity.generate()
PASSPHRASE = "correct horse, battery staple"
MINE = reader.Credentials(identities=(STRANGER, IDENTITY))
FILE_KEY = bytes(range(100, 132))
FILE_ID = bytes(range(200, 216))

# ---------------------------------------------------------------------------------------------
# A tiny writer.

Patch = Callable[[bytearray], None]


def nothing(_block: bytearray) -> None:
    pass


def le(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


@dataclass
class Recipe:
    """What to write, and where to do it wrong: patches act before MAC and checksum are made."""

    data: bytes
    suite: int = 1
    chunk_log2: int = 16
    file_key: bytes = FILE_KEY
    slots: list[tuple[int, bytes, bytes, bytes]] | None = None  # type, label, info, age file
    patch_superblock: Patch = nothing
    patch_slots: Patch = nothing
    patch_table: Patch = nothing
    flags: int = 0

    def header_hash(self) -> bytes:
        return hashlib.sha256(
            b"pageseal header v1" + le(1, 2) + bytes([self.suite, self.chunk_log2]) + FILE_ID
            + le(0, 4) + le(1, 4)
        ).digest()  # fmt: skip

    def key(self, label: bytes) -> bytes:
        info = label + bytes([self.suite, self.chunk_log2]) + FILE_ID
        return HKDF(SHA256(), 32, b"pageseal v1", info).derive(self.file_key)

    def payload(self) -> bytes:
        return self.file_key + FILE_ID + self.header_hash()

    def slot_for_me(self) -> tuple[int, bytes, bytes, bytes]:
        age_file = pyrage.encrypt(self.payload(), [IDENTITY.to_public()])
        nonce = os.urandom(24)
        info = nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            le(1700000000, 8) + str(IDENTITY.to_public()).encode(),
            b"pageseal slot info v1" + FILE_ID,
            nonce,
            self.key(b"slot info"),
        )
        return 1, "Zoë's key".encode(), info, age_file


@dataclass
class Built:
    raw: bytearray
    t0: int
    superblock_b: int
    end: int

    def regions(self, data_len: int) -> dict[str, range]:
        table = self.t0 + 53248
        return {
            "data": range(0, data_len),
            "padding": range(data_len, self.t0),
            "superblock A": range(self.t0, self.t0 + 4096),
            "slot area 1": range(self.t0 + 4096, self.t0 + 28672),
            "slot area 2": range(self.t0 + 28672, table),
            "table": range(table, self.superblock_b),
            "superblock B": range(self.superblock_b, self.end),
        }


def seal(recipe: Recipe, nonce: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
    key = recipe.key(b"chunk")
    if recipe.suite == 1:
        sealed = pyaegis.Aegis256X2(32).encrypt(key, nonce + bytes(8), plaintext, aad)
        return bytes(sealed[:-32]), bytes(sealed[-32:])
    if recipe.suite == 2:
        sealed = AESGCM(kbkdf(key, nonce)).encrypt(nonce[12:], plaintext, aad)
    else:
        sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            plaintext, aad, nonce, key
        )
    return sealed[:-16], sealed[-16:]


def kbkdf(key: bytes, nonce: bytes) -> bytes:
    """The key of XAES-256-GCM, as NIST SP 800-108r1 says it."""
    return KBKDFCMAC(
        algorithms.AES256, Mode.CounterMode, 32, 2, None, CounterLocation.BeforeFixed, None,
        None, fixed=b"X\0" + nonce[:12],
    ).derive(key)  # fmt: skip


def write_slot_area(recipe: Recipe) -> bytes:
    area = bytearray(24576)
    records = b""
    slots = [recipe.slot_for_me()] if recipe.slots is None else recipe.slots
    for kind, label, info, age_file in slots:
        record = bytes([kind, len(label)]) + le(len(info), 2) + le(len(age_file), 4) + bytes(8)
        record += label + info + age_file
        records += record + bytes(-len(record) % 8)
    area[0:8] = b"PGSLSLOT"
    area[8:10] = le(1, 2)
    area[10:12] = le(len(slots), 2)
    area[12:16] = le(len(records), 4)
    area[16:32] = FILE_ID
    area[32:40] = le(1, 8)
    area[64 : 64 + len(records)] = records
    recipe.patch_slots(area)
    authenticate(area, recipe.key(b"metadata"), b"pageseal slots v1")
    return bytes(area)


def authenticate(block: bytearray, key: bytes, label: bytes) -> None:
    block[-64:-32] = hmac.new(key, label + bytes(block[:-64]), "sha256").digest()
    rehash(block)


def rehash(block: bytearray) -> None:
    block[-32:] = hashlib.sha256(block[:-32]).digest()


def write_superblock(recipe: Recipe, t0: int, table_len: int) -> bytes:
    block = bytearray(4096)
    block[0:8] = b"PAGESEAL"
    block[8:10] = le(1, 2)
    block[10] = recipe.suite
    block[11] = recipe.chunk_log2
    block[12] = 1
    block[16:32] = FILE_ID
    block[32:40] = le(len(recipe.data), 8)
    block[40:48] = le(1, 8)
    block[48:64] = bytes(range(16))
    block[68:72] = le(1, 4)
    block[96:128] = recipe.key(b"commitment")
    block[136:144] = le(len(recipe.data), 8)
    for at, offset, length in (
        (144, t0, 4096),
        (160, t0 + 4096, 24576),
        (176, t0 + 28672, 24576),
        (192, t0 + 53248, table_len),
        (256, t0 + 53248 + table_len, 4096),
    ):
        block[at : at + 16] = le(offset, 8) + le(length, 8)
    recipe.patch_superblock(block)
    authenticate(block, recipe.key(b"metadata"), b"pageseal superblock v1")
    return bytes(block)


def write(recipe: Recipe) -> Built:
    chunk = 1 << recipe.chunk_log2
    parts = [recipe.data[i : i + chunk] for i in range(0, len(recipe.data), chunk)] or [b""]
    t0 = up(len(recipe.data), 4096)
    table = bytearray(up(64 * len(parts), 4096))
    out = bytearray()
    for index, part in enumerate(parts):
        nonce = os.urandom(24)
        final = index == len(parts) - 1
        aad = b"psealchk" + FILE_ID + le(index, 8) + le(len(part), 4)
        aad += bytes([final, recipe.suite]) + bytes(2)
        aad += nonce + le(0, 4) + le(recipe.flags, 2) + bytes(2)
        assert len(aad) == 72
        ciphertext, tag = seal(recipe, nonce, part, aad)
        out += ciphertext
        entry = nonce + tag.ljust(32, b"\0") + le(0, 4) + le(recipe.flags, 2) + bytes(2)
        table[64 * index : 64 * index + 64] = entry
    recipe.patch_table(table)
    out += bytes(t0 - len(out))
    superblock = write_superblock(recipe, t0, len(table))
    area = write_slot_area(recipe)
    out += superblock + area + area + table + superblock
    return Built(out, t0, len(out) - 4096, len(out))


def sample(length: int) -> bytes:
    return hashlib.shake_128(b"sample").digest(length)


def decrypt(raw: bytes, credentials: reader.Credentials = MINE) -> tuple[bytes, list[str]]:
    sealed = reader.SealedFile(io.BytesIO(raw))
    sealed.unlock(credentials)
    return b"".join(sealed.chunks()), sealed.warnings


def put(at: int, value: bytes) -> Patch:
    def patch(block: bytearray) -> None:
        block[at : at + len(value)] = value

    return patch


# ---------------------------------------------------------------------------------------------
# Ciphers, against published vectors.


@pytest.mark.parametrize(
    ("key_byte", "derived", "aad", "sealed"),
    [
        (
            1,
            "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
            b"",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        ),
        (
            3,
            "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
)
def test_xaes_vectors_of_c2sp(key_byte: int, derived: str, aad: bytes, sealed: str) -> None:
    xaes = reader.Xaes256Gcm(bytes([key_byte]) * 32)
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert xaes.derive(nonce) == (bytes.fromhex(derived), b"MNOPQRSTUVWX")
    raw = bytes.fromhex(sealed)
    assert xaes.open(nonce, raw[:-16], raw[-16:], aad) == b"XAES-256-GCM"
    with pytest.raises(reader.Damaged):
        xaes.open(nonce, raw[:-16], raw[-16:], aad + b"!")


def test_xaes_accumulated_vector_of_c2sp() -> None:
    stream = io.BytesIO(hashlib.shake_128(b"").digest(4_000_000))
    accumulated = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = stream.read(32), stream.read(24)
        plaintext = stream.read(stream.read(1)[0])
        aad = stream.read(stream.read(1)[0])
        xaes = reader.Xaes256Gcm(key)
        gcm_key, gcm_nonce = xaes.derive(nonce)
        sealed = AESGCM(gcm_key).encrypt(gcm_nonce, plaintext, aad)
        assert xaes.open(nonce, sealed[:-16], sealed[-16:], aad) == plaintext
        accumulated.update(sealed)
    expected = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    assert accumulated.hexdigest(32) == expected


def test_aegis256x2_vector_of_the_specification() -> None:
    """Empty message, 256-bit tag; nonce of 32 bytes, so the library is called directly."""
    key, nonce = bytes(range(32)), bytes(range(16, 48))
    tag = bytes.fromhex("25d7e799b49a80354c3f881ac2f1027f471a5d293052bd9997abd3ae84014bb7")
    assert pyaegis.Aegis256X2(tag_size=32).encrypt(key, nonce, b"", b"") == tag


def test_aegis_pads_the_nonce_with_eight_zeros() -> None:
    key, nonce = bytes(range(32)), bytes(range(24))
    sealed = pyaegis.Aegis256X2(32).encrypt(key, nonce + bytes(8), b"text", b"aad")
    aead = reader.Aegis256X2(key)
    assert aead.open(nonce, sealed[:-32], sealed[-32:], b"aad") == b"text"
    with pytest.raises(reader.Damaged):
        aead.open(nonce, sealed[:-32], sealed[-32:-1] + bytes([sealed[-1] ^ 1]), b"aad")


def test_xchacha20poly1305_vector_of_the_draft() -> None:
    """draft-irtf-cfrg-xchacha, appendix A.3.1 (the tag depends on all of the ciphertext)."""
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, nonce, key)
    tag = bytes.fromhex("c0875924c1c7987947deafd8780acf49")
    assert sealed[-16:] == tag
    assert reader.XChaCha20Poly1305(key).open(nonce, sealed[:-16], tag, aad) == plaintext


# ---------------------------------------------------------------------------------------------
# Whole files.


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("length", LENGTHS)
def test_reads_what_was_written(suite: int, length: int) -> None:
    data = sample(length)
    built = write(Recipe(data, suite))
    assert decrypt(built.raw) == (data, [])
    if length > 16:
        assert data[:16] not in bytes(built.raw)


@pytest.mark.parametrize("chunk_log2", range(16, 21))
def test_all_chunk_sizes(chunk_log2: int) -> None:
    data = sample((2 << chunk_log2) + 5)
    built = write(Recipe(data, 3, chunk_log2))
    assert decrypt(built.raw) == (data, [])
    built.raw[built.superblock_b] ^= 1
    plaintext, warnings = decrypt(built.raw)
    assert plaintext == data and len(warnings) == 1


def test_a_table_longer_than_one_block() -> None:
    data = sample(65 * 65536)
    built = write(Recipe(data))
    assert built.superblock_b - built.t0 - 53248 == 8192
    assert decrypt(built.raw) == (data, [])
    built.raw[built.superblock_b + 50] ^= 1
    assert decrypt(built.raw)[0] == data


@pytest.mark.parametrize("suite", SUITES)
def test_passphrase_slot_beside_a_recipient(suite: int) -> None:
    recipe = Recipe(sample(70000), suite)
    age_file = pyrage.passphrase.encrypt(recipe.payload(), PASSPHRASE)
    recipe.slots = [recipe.slot_for_me(), (2, b"", b"", age_file)]
    built = write(recipe)
    assert decrypt(built.raw, reader.Credentials(passphrase=PASSPHRASE)) == (recipe.data, [])
    assert decrypt(built.raw) == (recipe.data, [])
    with pytest.raises(reader.NoKeyFits):
        decrypt(built.raw, reader.Credentials(passphrase=PASSPHRASE + "\n"))


def test_thirty_two_slots_and_a_stranger() -> None:
    recipe = Recipe(b"x")
    foreign = pyrage.encrypt(b"not for you", [pyrage.x25519.Identity.generate().to_public()])
    recipe.slots = [(1, b"l" * 64, b"", foreign)] * 30
    recipe.slots += [(3, b"yubikey", b"", foreign), recipe.slot_for_me()]
    built = write(recipe)
    assert decrypt(built.raw) == (b"x", [])
    with pytest.raises(reader.NoKeyFits):
        decrypt(built.raw, reader.Credentials(identities=(STRANGER,)))


def test_holes_are_read_as_their_zeros() -> None:
    built = write(Recipe(bytes(70000), flags=1))
    assert decrypt(built.raw) == (bytes(70000), [])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(write(Recipe(bytes(24 << 20))).raw)
    with path.open("rb") as file:
        tracemalloc.start()
        sealed = reader.SealedFile(file)
        sealed.unlock(MINE)
        total = sum(len(chunk) for chunk in sealed.chunks())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == 24 << 20
    assert peak < 1 << 20


@pytest.mark.parametrize("chunk_log2", range(16, 21))
def test_trailer_is_found_from_the_length_alone(chunk_log2: int) -> None:
    for blocks in [*range(0, 200), 2**16 - 1, 2**16, 2**16 + 1, 2**40 + 3, 2**48]:
        length = reader.Geometry(blocks * 4096, chunk_log2).file_len
        assert reader.trailer_offset_from_file_len(length, chunk_log2) == blocks * 4096
    # The step where the table takes one more block leaves a length that no T0 gives.
    gap = reader.Geometry(64 << chunk_log2, chunk_log2).file_len + 4096
    assert reader.trailer_offset_from_file_len(gap, chunk_log2) is None


# ---------------------------------------------------------------------------------------------
# Single flipped bytes: section 2 says which copies may be lost.

SURVIVES = {
    "superblock A": "superblock copy A is damaged",
    "superblock B": "superblock copy B is damaged",
    "slot area 1": "slot area copy 1 is damaged",
    "slot area 2": "slot area copy 2 is damaged",
}


@functools.cache
def small_file() -> Built:
    return write(Recipe(sample(5000), 2))


@pytest.mark.parametrize("region", small_file().regions(5000))
def test_every_flipped_byte_is_refused_or_survived(region: str) -> None:
    built = small_file()
    places = built.regions(5000)[region]
    if not os.environ.get("PAGESEAL_EVERY_BYTE"):
        # All of the parts that hold fields, and a sample of the rest.
        places = sorted({*places[:900:3], *places[::41], *places[-70:]})
    for place in places:
        raw = bytearray(built.raw)
        raw[place] ^= 1 << place % 8
        if region in SURVIVES:
            plaintext, warnings = decrypt(raw)
            assert plaintext == sample(5000), place
            assert len(warnings) == 1 and SURVIVES[region] in warnings[0], place
        else:
            with pytest.raises(reader.Damaged):
                decrypt(raw)


@pytest.mark.parametrize("suite", SUITES)
def test_every_byte_of_an_entry_counts(suite: int) -> None:
    built = write(Recipe(sample(70000), suite))
    for place in range(built.t0 + 53248, built.t0 + 53248 + 192):
        raw = bytearray(built.raw)
        raw[place] ^= 0x80
        with pytest.raises(reader.Damaged):
            decrypt(raw)


def test_one_of_each_pair_may_be_lost_but_not_both() -> None:
    built = small_file()
    regions = built.regions(5000)
    for lost, survivable in (
        (("superblock A", "slot area 1"), True),
        (("superblock A", "slot area 2"), True),
        (("superblock B", "slot area 1"), True),
        (("superblock B", "slot area 2"), True),
        (("superblock A", "superblock B"), False),
        (("slot area 1", "slot area 2"), False),
    ):
        raw = bytearray(built.raw)
        for region in lost:
            raw[regions[region].start + 20] ^= 1
        if survivable:
            plaintext, warnings = decrypt(raw)
            assert plaintext == sample(5000) and len(warnings) == 2
        else:
            with pytest.raises(reader.Damaged):
                decrypt(raw)


# ---------------------------------------------------------------------------------------------
# Lengths and order.


def test_truncated_or_followed_by_foreign_bytes() -> None:
    raw = bytes(write(Recipe(sample(200000))).raw)
    for cut in (1, 511, 4095, 4096, 8192, 30000):
        with pytest.raises(reader.Damaged):
            decrypt(raw[:-cut])
    for extra in (b"\n", bytes(4096), os.urandom(4096), os.urandom(100_000), raw):
        with pytest.raises(reader.Damaged):
            decrypt(raw + extra)
    with pytest.raises(reader.Damaged):
        decrypt(raw[4096:])


@pytest.mark.parametrize("raw", [b"", b"PAGESEAL", bytes(61440), bytes(65536), os.urandom(100_001)])
def test_other_files_are_refused(raw: bytes) -> None:
    with pytest.raises(reader.Refused):
        decrypt(raw)


def test_chunks_swapped_with_their_entries() -> None:
    built = write(Recipe(sample(3 * 65536)))
    raw, table = built.raw, built.t0 + 53248
    raw[:65536], raw[65536:131072] = raw[65536:131072], raw[:65536]
    raw[table : table + 64], raw[table + 64 : table + 128] = (
        raw[table + 64 : table + 128],
        raw[table : table + 64],
    )
    with pytest.raises(reader.Damaged, match="chunk 0 "):
        decrypt(raw)


def test_a_damaged_last_chunk_does_not_release_its_bytes() -> None:
    built = write(Recipe(sample(70000)))
    built.raw[69999] ^= 1
    sealed = reader.SealedFile(io.BytesIO(built.raw))
    sealed.unlock(MINE)
    chunks = sealed.chunks()
    assert next(chunks) == sample(65536)
    with pytest.raises(reader.Damaged, match="chunk 1 at offset 65536"):
        next(chunks)


def test_file_that_shrinks_while_it_is_read() -> None:
    file = io.BytesIO(write(Recipe(sample(200000))).raw)
    sealed = reader.SealedFile(file)
    sealed.unlock(MINE)
    file.truncate(100000)
    with pytest.raises(reader.Damaged, match="ends before"):
        next(sealed.chunks())


def test_nothing_comes_out_of_a_locked_file() -> None:
    with pytest.raises(RuntimeError):
        next(reader.SealedFile(io.BytesIO(small_file().raw)).chunks())


# ---------------------------------------------------------------------------------------------
# Forged and malformed metadata.


def both_superblocks(built: Built, patch: Patch) -> bytearray:
    """What a forger without the key can do: change both copies, make their checksums right."""
    raw = bytearray(built.raw)
    for at in (built.t0, built.superblock_b):
        block = raw[at : at + 4096]
        patch(block)
        rehash(block)
        raw[at : at + 4096] = block
    return raw


@pytest.mark.parametrize(
    "patch",
    [
        put(40, le(2, 8)),  # job sequence
        put(48, b"\xff"),  # job id
        put(72, b"\x01"),  # compatible bit
        put(80, b"\x01"),  # read-only compatible bit
        put(96, b"\x00"),  # commitment
        put(16, b"\x00"),  # file id
        put(10, b"\x03"),  # another known suite
        put(4032, bytes(32)),  # MAC
    ],
)
def test_forged_superblock(patch: Patch) -> None:
    with pytest.raises(reader.Damaged):
        decrypt(both_superblocks(small_file(), patch))


def test_valid_superblocks_that_differ() -> None:
    one = small_file()
    for at in (one.t0, one.superblock_b):
        raw = bytearray(one.raw)
        block = raw[at : at + 4096]
        block[40] = 2
        authenticate(block, Recipe(b"", 2).key(b"metadata"), b"pageseal superblock v1")
        raw[at : at + 4096] = block
        with pytest.raises(reader.Damaged, match="differ"):
            decrypt(raw)


def test_valid_slot_areas_that_differ() -> None:
    one = small_file()
    raw = bytearray(one.raw)
    area = raw[one.t0 + 4096 : one.t0 + 28672]
    area[32] = 2
    authenticate(area, Recipe(b"", 2).key(b"metadata"), b"pageseal slots v1")
    raw[one.t0 + 4096 : one.t0 + 28672] = area
    with pytest.raises(reader.Damaged, match="differ"):
        decrypt(raw)


def test_forged_slot_areas() -> None:
    one = small_file()
    raw = bytearray(one.raw)
    for at in (one.t0 + 4096, one.t0 + 28672):
        area = raw[at : at + 24576]
        area[64 + 16] = ord("X")  # first letter of the label
        rehash(area)
        raw[at : at + 24576] = area
    with pytest.raises(reader.Damaged, match="MAC"):
        decrypt(raw)


REFUSED_SUPERBLOCKS = [
    ("newer version", put(8, le(2, 2))),
    ("incompatible bit", put(95, b"\x80")),
    ("suite 0", put(10, b"\x00")),
    ("suite 4", put(10, b"\x04")),
    ("encrypting", put(12, b"\x02")),
    ("decrypting", put(12, b"\x03")),
    ("rekeying", put(12, b"\x04")),
    ("detached", put(13, b"\x01")),
]
MALFORMED_SUPERBLOCKS = [
    ("version 0", "version 0", put(8, le(0, 2))),
    ("chunk_log2 15", "chunk size", put(11, b"\x0f")),
    ("chunk_log2 21", "chunk size", put(11, b"\x15")),
    ("chunk_log2 255", "chunk size", put(11, b"\xff")),
    ("state 0", "state", put(12, b"\x00")),
    ("state 5", "state", put(12, b"\x05")),
    ("location 2", "trailer location", put(13, b"\x02")),
    ("reserved 14", "reserved bytes", put(15, b"\x01")),
    ("length above 2^60", "data length", put(32, le(2**60 + 1, 8))),
    ("length 2^64 - 1", "data length", put(32, le(2**64 - 1, 8))),
    ("length of the next chunk", "offsets or lengths", put(32, le(5001, 8))),
    ("job sequence 0", "job sequence", put(40, le(0, 8))),
    ("shard index", "shard", put(64, le(1, 4))),
    ("shard count", "shard", put(68, le(2, 4))),
    ("data offset", "offsets or lengths", put(128, le(4096, 8))),
    ("data length", "offsets or lengths", put(136, le(4999, 8))),
    ("superblock A offset", "offsets or lengths", put(144, le(0, 8))),
    ("superblock A length", "offsets or lengths", put(152, le(8192, 8))),
    ("slot area 1", "offsets or lengths", put(160, le(0, 8))),
    ("slot area 2 length", "offsets or lengths", put(184, le(0, 8))),
    ("table offset", "offsets or lengths", put(192, le(0, 8))),
    ("table length", "offsets or lengths", put(200, le(2**63, 8))),
    ("table extent 1", "offsets or lengths", put(208, le(1, 8))),
    ("table extent 3", "offsets or lengths", put(248, le(1, 8))),
    ("superblock B", "offsets or lengths", put(256, le(0, 8))),
    ("second descriptor", "reserved bytes", put(272, b"\x01")),
    ("table digest", "reserved bytes", put(431, b"\x01")),
    ("reserved 432", "reserved bytes", put(432, b"\x01")),
    ("reserved to the end", "reserved bytes", put(4031, b"\x01")),
]


@pytest.mark.parametrize(("_name", "patch"), REFUSED_SUPERBLOCKS)
def test_superblocks_with_a_right_mac_that_are_refused(_name: str, patch: Patch) -> None:
    with pytest.raises(reader.Refused):
        decrypt(write(Recipe(sample(5000), patch_superblock=patch)).raw)


@pytest.mark.parametrize("copy", ["A", "B"])
@pytest.mark.parametrize(("_name", "reason", "patch"), MALFORMED_SUPERBLOCKS)
def test_an_intact_copy_with_a_refused_value_is_not_passed_over(
    _name: str, reason: str, patch: Patch, copy: str
) -> None:
    built = small_file()
    at = built.t0 if copy == "A" else built.superblock_b
    block = built.raw[at : at + 4096]
    patch(block)
    authenticate(block, Recipe(b"", 2).key(b"metadata"), b"pageseal superblock v1")
    raw = bytearray(built.raw)
    raw[at : at + 4096] = block
    with pytest.raises(reader.Damaged, match=reason):
        decrypt(raw)


@pytest.mark.parametrize("patch", [put(8, le(2, 2)), put(64, b"\x04"), put(10, le(33, 2))])
def test_one_slot_area_that_is_not_valid(patch: Patch) -> None:
    one = small_file()
    for at in (one.t0 + 4096, one.t0 + 28672):
        raw = bytearray(one.raw)
        area = raw[at : at + 24576]
        patch(area)
        rehash(area)
        raw[at : at + 24576] = area
        plaintext, warnings = decrypt(raw)
        assert plaintext == sample(5000) and len(warnings) == 1


@pytest.mark.parametrize(("_name", "reason", "patch"), MALFORMED_SUPERBLOCKS)
def test_superblocks_with_a_right_mac_that_are_malformed(
    _name: str, reason: str, patch: Patch
) -> None:
    with pytest.raises(reader.Damaged, match=reason):
        decrypt(write(Recipe(sample(5000), patch_superblock=patch)).raw)


def test_commitment_is_checked_besides_the_mac() -> None:
    with pytest.raises(reader.Damaged, match="commits"):
        decrypt(write(Recipe(b"x", patch_superblock=put(96, bytes(32)))).raw)


def test_wrong_magic_with_a_right_checksum() -> None:
    built = write(Recipe(b"x", patch_superblock=put(0, b"PAGESEAK")))
    with pytest.raises(reader.Refused, match="not a sealed file"):
        decrypt(built.raw)


def test_two_claims_to_be_copy_a() -> None:
    """65 chunks of 64 KiB need one more table block than chunks of 128 KiB: two places for A."""
    built = write(Recipe(sample(65 * 65536)))
    other = write_superblock(Recipe(bytes(built.t0 + 4096), chunk_log2=17), built.t0 + 4096, 4096)
    built.raw[built.t0 + 4096 : built.t0 + 8192] = other
    assert decrypt(built.raw)[0] == sample(65 * 65536)
    built.raw[built.superblock_b] ^= 1
    with pytest.raises(reader.Damaged, match="several"):
        decrypt(built.raw)


def test_unknown_compatible_bits_are_ignored() -> None:
    for at in (72, 80):
        built = write(Recipe(sample(5000), patch_superblock=put(at, b"\xff" * 8)))
        assert decrypt(built.raw) == (sample(5000), [])


MALFORMED_SLOT_AREAS = [
    ("magic", "no magic", put(0, b"PGSLSLOP")),
    ("version 0", "version 0", put(8, le(0, 2))),
    ("no slot", "slot count", put(10, le(0, 2))),
    ("33 slots", "slot count", put(10, le(33, 2))),
    ("a slot too many", "cut off", put(10, le(2, 2))),
    ("no bytes used", "cut off", put(12, le(0, 4))),
    ("bytes used, not a multiple of 8", r"slot area: bytes used\)", put(12, le(4, 4))),
    ("bytes used beyond the area", r"slot area: bytes used\)", put(12, le(24456, 4))),
    ("bytes used, 2^32 - 8", r"slot area: bytes used\)", put(12, le(2**32 - 8, 4))),
    ("record longer than bytes used", "cut off", put(12, le(24, 4))),
    ("another file's id", "another file", put(16, b"\x00")),
    ("generation 0", "generation", put(32, le(0, 8))),
    ("reserved first", "reserved", put(40, b"\x01")),
    ("reserved last", "reserved", put(63, b"\x01")),
    ("label too long", "label length", put(65, b"\x41")),
    ("sealed info of 39", "sealed info length", put(66, le(39, 2))),
    ("sealed info of 1025", "sealed info length", put(66, le(1025, 2))),
    ("age file of 0", "age file length", put(68, le(0, 4))),
    ("age file of 16385", "age file length", put(68, le(16385, 4))),
    ("age file of 2^32 - 1", "age file length", put(68, le(2**32 - 1, 4))),
    ("slot reserved", "slot: reserved", put(79, b"\x01")),
    ("label with a line feed", "slot: label", put(80, b"\n")),
    ("label with DEL", "slot: label", put(80, b"\x7f")),
    ("label with U+0085", "slot: label", put(80, b"\xc2\x85")),
    ("label not UTF-8", "not UTF-8", put(80, b"\xff")),
    ("padding", "slot area: padding", put(24511, b"\x01")),
]


@pytest.mark.parametrize(("_name", "reason", "patch"), MALFORMED_SLOT_AREAS)
def test_slot_areas_with_a_right_mac_that_are_malformed(
    _name: str, reason: str, patch: Patch
) -> None:
    with pytest.raises(reader.Damaged, match=reason):
        decrypt(write(Recipe(b"x", patch_slots=patch)).raw)


@pytest.mark.parametrize("patch", [put(8, le(2, 2)), put(64, b"\x00"), put(64, b"\x04")])
def test_slot_areas_of_a_newer_version_are_refused(patch: Patch) -> None:
    with pytest.raises(reader.Refused):
        decrypt(write(Recipe(b"x", patch_slots=patch)).raw)


def test_bytes_used_beyond_the_records() -> None:
    def count_eight_zeros_as_records(area: bytearray) -> None:
        area[12:16] = le(int.from_bytes(area[12:16], "little") + 8, 4)

    with pytest.raises(reader.Damaged, match="records and bytes used differ"):
        decrypt(write(Recipe(b"x", patch_slots=count_eight_zeros_as_records)).raw)


@pytest.mark.parametrize("plaintext", [b"", bytes(7), bytes(8) + b"\xff"])
def test_malformed_sealed_info(plaintext: bytes) -> None:
    recipe = Recipe(b"x")
    info = bytes(24) + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plaintext, b"pageseal slot info v1" + FILE_ID, bytes(24), recipe.key(b"slot info")
    )
    kind, label, _info, age_file = recipe.slot_for_me()
    recipe.slots = [(kind, label, info, age_file)]
    sealed = reader.SealedFile(io.BytesIO(write(recipe).raw))
    sealed.unlock(MINE)
    with pytest.raises(reader.Damaged):
        sealed.slot_info(sealed.slots()[0])


def test_padding_of_a_slot_record() -> None:
    recipe = Recipe(b"x")
    kind, _label, _info, age_file = recipe.slot_for_me()
    label = b"l" * (-(len(age_file) + 1) % 8)
    recipe.slots = [(kind, label, b"", age_file)]
    end = 64 + 16 + len(label) + len(age_file)
    assert end % 8 == 7
    recipe.patch_slots = put(end, b"\x01")
    with pytest.raises(reader.Damaged, match="padding"):
        decrypt(write(recipe).raw)


MALFORMED_TABLES = [
    ("epoch", "epoch", put(56, le(1, 4))),
    ("flag 1", "flags", put(60, le(2, 2))),
    ("flag 15", "flags", put(60, le(0x8000, 2))),
    ("a hole flag that the AAD lacks", "authentication", put(60, le(1, 2))),
    ("reserved", "reserved bytes", put(63, b"\x01")),
    ("padding first", "padding of the chunk table", put(64, b"\x01")),
    ("padding last", "padding of the chunk table", put(4095, b"\x01")),
]


@pytest.mark.parametrize(("_name", "reason", "patch"), MALFORMED_TABLES)
def test_malformed_tables(_name: str, reason: str, patch: Patch) -> None:
    with pytest.raises(reader.Damaged, match=reason):
        decrypt(write(Recipe(b"x", patch_table=patch)).raw)


@pytest.mark.parametrize("suite", [2, 3])
def test_unused_half_of_a_short_tag(suite: int) -> None:
    for place in (40, 55):
        with pytest.raises(reader.Damaged, match="unused bytes of the tag"):
            decrypt(write(Recipe(b"x", suite, patch_table=put(place, b"\x01"))).raw)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "80 bytes"),
        (Recipe(b"").payload()[:-1], "80 bytes"),
        (Recipe(b"").payload() + b"\0", "80 bytes"),
        (Recipe(b"", file_key=bytes(32)).payload(), "commits"),
        (FILE_KEY + bytes(16) + Recipe(b"").header_hash(), "another file"),
        (FILE_KEY + FILE_ID + bytes(32), "another header"),
        (Recipe(b"", suite=2).payload(), "another header"),
        (Recipe(b"", chunk_log2=17).payload(), "another header"),
    ],
)
def test_slots_that_open_but_do_not_fit(payload: bytes, reason: str) -> None:
    age_file = pyrage.encrypt(payload, [IDENTITY.to_public()])
    with pytest.raises(reader.Damaged, match=reason):
        decrypt(write(Recipe(b"x", slots=[(1, b"", b"", age_file)])).raw)


def test_armored_age_files_are_refused() -> None:
    age_file = pyrage.encrypt(Recipe(b"").payload(), [IDENTITY.to_public()], armored=True)
    with pytest.raises(reader.Damaged, match="binary"):
        decrypt(write(Recipe(b"x", slots=[(1, b"", b"", age_file)])).raw)


# ---------------------------------------------------------------------------------------------
# The published example (section 8): files that pageseal made, with a public identity.

EXAMPLE = READER_PATH.parent.parent / "docs" / "vectors" / "example"


def example_credentials() -> reader.Credentials:
    return reader.read_credentials(str(EXAMPLE / "identity.txt"), None)


def test_published_example_decrypts() -> None:
    raw = (EXAMPLE / "sealed.bin").read_bytes()
    assert decrypt(raw, example_credentials()) == ((EXAMPLE / "plain.txt").read_bytes(), [])
    with pytest.raises(reader.NoKeyFits):
        decrypt(raw)


def example_in_the_document() -> str:
    """Section 8 of the document."""
    document = (EXAMPLE.parent.parent / "FORMAT.md").read_text(encoding="utf-8")
    return document[document.index("### 8.1 ") :]


def test_published_example_has_the_keys_that_the_document_shows() -> None:
    document = example_in_the_document()
    sealed = reader.SealedFile(io.BytesIO((EXAMPLE / "sealed.bin").read_bytes()))
    payload = example_credentials().unwrap(sealed.slots()[0])
    assert payload is not None
    keys = reader.Keys(payload[:32], sealed.superblock)
    shown = [payload[:32], sealed.superblock.header_hash]
    labels = (b"commitment", b"chunk", b"metadata", b"slot info", b"journal")
    shown += [keys.derive(label) for label in labels]
    for value in shown:
        assert value.hex() in document
    sealed.unlock(example_credentials())
    made_at, recipient = sealed.slot_info(sealed.slots()[0]) or (0, "")
    assert str(made_at) in document and le(made_at, 8).hex(" ") in document
    assert recipient in document


@pytest.mark.parametrize(
    ("section", "file", "lines"), [("8.1", "sealed.bin", 60), ("8.2", "interrupted.journal", 60)]
)
def test_published_example_has_the_bytes_that_the_document_shows(
    section: str, file: str, lines: int
) -> None:
    raw = (EXAMPLE / file).read_bytes()
    text = example_in_the_document()
    start = text.index(f"### {section} ")
    end = text.find("\n### ", start + 1)
    shown = re.findall(
        r"^ *(\d+)  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", text[start:end], re.MULTILINE
    )
    assert len(shown) >= lines
    for offset, value in shown:
        expected = bytes.fromhex(value)
        assert raw[int(offset) : int(offset) + len(expected)] == expected, offset


def test_published_interrupted_example_is_not_read() -> None:
    raw = (EXAMPLE / "interrupted.bin").read_bytes()
    sealed = reader.SealedFile(io.BytesIO(raw))
    assert sealed.superblock.state == 2 and len(sealed.slots()) == 1
    with pytest.raises(reader.Refused, match="encrypting"):
        sealed.unlock(example_credentials())


def test_published_journal_is_authentic_and_records_the_window() -> None:
    """Section 6, by hand: the reader knows no journals."""
    sealed = reader.SealedFile(io.BytesIO((EXAMPLE / "interrupted.bin").read_bytes()))
    journal = (EXAMPLE / "interrupted.journal").read_bytes()
    plain = (EXAMPLE / "plain.txt").read_bytes()
    job_id, file_id = journal[16:32], journal[32:48]
    assert (job_id, file_id) == (sealed.superblock.job_id, sealed.superblock.file_id)

    area = journal[4096:4176]
    aad = b"pageseal job key v1" + job_id + file_id
    job_key = reader.XChaCha20Poly1305(journal[4176:4208])
    file_key = job_key.open(area[8:32], area[32:64], area[64:80], aad)
    payload = example_credentials().unwrap(sealed.slots()[0])
    assert payload is not None and payload[:32] == file_key

    keys = reader.Keys(file_key, sealed.superblock)
    journal_key = keys.derive(b"journal")
    window = journal[45056 + 4096 :][:336]
    for label, part in (
        (b"pageseal journal v1", journal[:4096]),
        (b"pageseal phase v1", journal[36864:40960]),
        (b"pageseal phase v1", journal[40960:45056]),
        (b"pageseal window v1", window),
    ):
        assert hashlib.sha256(part[:-32]).digest() == part[-32:]
        reader.check_mac(journal_key, label, part, label.decode())

    info = b"fingerprint" + bytes([1, 16]) + file_id
    mac = pyaegis.AegisMac128X2(
        HKDF(SHA256(), 16, b"pageseal v1", info).derive(file_key), le(1, 8) + le(0, 8), 16
    )
    mac.update(plain)
    assert mac.final() == window[256:272]
    # The store had reached the file: its entry has the nonce of the record, and opens.
    raw = (EXAMPLE / "interrupted.bin").read_bytes()
    entry = reader.parse_entry(raw[57344:57408], 32, "entry")
    assert entry.nonce == window[128:152] and window[152:192] == bytes(40)
    chunk_aad = reader.CHUNK_AAD.pack(
        b"psealchk", file_id, 0, len(plain), 1, 1, 0, entry.nonce, 0, 0, 0
    )
    opened = reader.Aegis256X2(keys.derive(b"chunk")).open(
        entry.nonce, raw[: len(plain)], entry.tag, chunk_aad
    )
    assert opened == plain


# ---------------------------------------------------------------------------------------------
# Command line.


@dataclass
class Desk:
    """A folder with a sealed file, an identity file and a stranger's."""

    folder: Path

    def __post_init__(self) -> None:
        self.sealed = self.folder / "movie.sealed"
        self.out = self.folder / "movie"
        self.identity = self.folder / "key.txt"
        self.stranger = self.folder / "stranger.txt"
        self.identity.write_text(f"# created: today\n# public key: x\n\n{IDENTITY}\n")
        self.stranger.write_text(f"{STRANGER}\n")
        self.data = sample(200_000)
        self.sealed.write_bytes(write(Recipe(self.data)).raw)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, READER_PATH, *arguments]
        return subprocess.run(command, capture_output=True, check=False, timeout=60)

    def flip(self, place: int) -> None:
        raw = bytearray(self.sealed.read_bytes())
        raw[place] ^= 1
        self.sealed.write_bytes(raw)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_cli_decrypt_to_file_and_stdout(desk: Desk) -> None:
    done = desk.run("decrypt", "-i", desk.identity, desk.sealed, desk.out)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert desk.out.read_bytes() == desk.data
    assert desk.out.stat().st_mode & 0o777 == 0o600
    done = desk.run("decrypt", "-i", desk.identity, desk.sealed, "-")
    assert (done.returncode, done.stdout) == (0, desk.data)


def test_cli_never_overwrites(desk: Desk) -> None:
    for victim in (desk.sealed, desk.identity):
        before = victim.read_bytes()
        done = desk.run("decrypt", "-i", desk.identity, desk.sealed, victim)
        assert done.returncode == 1
        assert victim.read_bytes() == before


def test_cli_no_key_fits(desk: Desk) -> None:
    done = desk.run("decrypt", "-i", desk.stranger, desk.sealed, desk.out)
    assert done.returncode == 3
    assert not desk.out.exists()


def test_cli_passphrase_file_loses_one_newline(desk: Desk) -> None:
    recipe = Recipe(b"text")
    slot = (2, b"", b"", pyrage.passphrase.encrypt(recipe.payload(), PASSPHRASE))
    desk.sealed.write_bytes(write(Recipe(b"text", slots=[slot])).raw)
    secret = desk.folder / "passphrase"
    for ending, code in (("", 0), ("\n", 0), ("\n\n", 3)):
        secret.write_text(PASSPHRASE + ending)
        done = desk.run("decrypt", "--passphrase-file", secret, desk.sealed, "-")
        assert (done.returncode, done.stdout) == (code, b"" if code else b"text")


def test_cli_damage_releases_verified_chunks_only(desk: Desk) -> None:
    desk.flip(131072)
    done = desk.run("decrypt", "-i", desk.identity, desk.sealed, "-")
    assert (done.returncode, done.stdout) == (4, desk.data[:131072])
    assert b"chunk 2 at offset 131072" in done.stderr
    done = desk.run("decrypt", "-i", desk.identity, desk.sealed, desk.out)
    assert done.returncode == 4
    assert not desk.out.exists()


def test_cli_warns_of_a_damaged_copy(desk: Desk) -> None:
    desk.flip(desk.sealed.stat().st_size - 1)
    done = desk.run("decrypt", "-i", desk.identity, desk.sealed, desk.out)
    assert done.returncode == 0
    assert b"warning" in done.stderr and b"copy B" in done.stderr
    assert desk.out.read_bytes() == desk.data


def test_cli_refuses_plain_and_missing_files(desk: Desk) -> None:
    plain = desk.folder / "plain"
    plain.write_bytes(desk.data)
    for path in (plain, desk.folder / "missing"):
        for arguments in (("info", path), ("decrypt", "-i", desk.identity, path, desk.out)):
            assert desk.run(*arguments).returncode == 1
    assert not desk.out.exists()


def test_cli_usage(desk: Desk) -> None:
    assert desk.run("decrypt", desk.sealed, desk.out).returncode == 2
    assert desk.run().returncode == 2


def test_cli_identity_file_errors_show_no_secret(desk: Desk) -> None:
    for content in (b"AGE-SECRET-KEY-1BROKEN\n", b"\xff\xfeSECRET"):
        desk.stranger.write_bytes(content)
        done = desk.run("decrypt", "-i", desk.stranger, desk.sealed, desk.out)
        assert done.returncode == 1
        assert b"BROKEN" not in done.stderr and b"Traceback" not in done.stderr


def test_cli_info(desk: Desk) -> None:
    done = desk.run("info", desk.sealed)
    assert done.returncode == 0
    info = json.loads(done.stdout)
    assert info["state"] == "sealed" and info["authenticated"] is False
    assert (info["suite"], info["suite_name"]) == (1, "AEGIS-256X2")
    assert (info["chunk_bytes"], info["chunk_count"], info["data_bytes"]) == (65536, 4, 200_000)
    assert info["file_id"] == FILE_ID.hex()
    assert info["slots"][0]["type"] == "x25519" and info["slots"][0]["label"] == "Zoë's key"
    assert "recipient" not in info["slots"][0]
    info = json.loads(desk.run("info", "-i", desk.identity, desk.sealed).stdout)
    assert info["authenticated"] is True
    assert info["slots"][0]["recipient"] == str(IDENTITY.to_public())
    assert info["slots"][0]["made_at_unix_s"] == 1700000000


def test_cli_info_of_an_interrupted_job(desk: Desk) -> None:
    desk.sealed.write_bytes(write(Recipe(desk.data, patch_superblock=put(12, b"\x02"))).raw)
    assert json.loads(desk.run("info", desk.sealed).stdout)["state"] == "encrypting"
    assert desk.run("info", "-i", desk.identity, desk.sealed).returncode == 1
    assert desk.run("decrypt", "-i", desk.identity, desk.sealed, "-").returncode == 1


def test_cli_slot(desk: Desk) -> None:
    age_file = desk.folder / "slot.age"
    assert desk.run("slot", "0", desk.sealed, age_file).returncode == 0
    assert pyrage.decrypt(age_file.read_bytes(), [IDENTITY]) == Recipe(b"").payload()
    for number in ("1", "-1"):
        done = desk.run("slot", "--", number, desk.sealed, desk.out)
        assert done.returncode == 1
    assert not desk.out.exists()


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the age command")
def test_anyones_age_opens_a_slot(desk: Desk) -> None:
    age_file = desk.folder / "slot.age"
    assert desk.run("slot", "0", desk.sealed, age_file).returncode == 0
    command = ["age", "--decrypt", "-i", desk.identity, age_file]
    opened = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert opened == Recipe(b"").payload()

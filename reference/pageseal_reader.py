#!/usr/bin/env python3
"""An independent reader of pageseal's sealed files, format version 1.

Written from docs/FORMAT.md alone, so that it can serve as a second opinion on what that document
says. It reads only; it knows nothing of journals and continues no interrupted job. Section numbers
in comments are those of FORMAT.md.

Memory use does not grow with the file: metadata is at most 24 KiB a piece, the chunk table is read
64 entries at a time, data one chunk at a time. A chunk leaves this module only after its tag has
been verified.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import struct
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import nacl.bindings
import nacl.exceptions
import pyaegis
import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# ---------------------------------------------------------------------------------------------
# Errors. The exit code belongs to the kind of error, so it stands with it.


class PagesealError(Exception):
    """Base of everything this reader reports about a file or a key."""

    exit_code = 1


class Refused(PagesealError):
    """Not a sealed file, or one that this reader must not read (newer, or a job is under way)."""


class NoKeyFits(PagesealError):
    """No slot opens with the given identities or passphrase."""

    exit_code = 3


class Damaged(PagesealError):
    """The file is a sealed one, but some byte of it is not what it was."""

    exit_code = 4


class NotIntact(Damaged):
    """Length, magic or checksum are wrong. Only such a superblock may be passed over for its twin.

    An intact one with a refused value was written that way, so the whole file is refused.
    """


# ---------------------------------------------------------------------------------------------
# Section 1 and 2: words, limits, geometry.

VERSION = 1
BLOCK = 4096
SUPERBLOCK_LEN = 4096
SLOT_AREA_LEN = 24576
ENTRY_LEN = 64
CHUNK_LOG2_RANGE = range(16, 21)
MAX_DATA_LEN = 1 << 60
MAX_SLOTS = 32
# Superblock A and both slot areas: the distance from T0 to the chunk table.
TABLE_DISTANCE = SUPERBLOCK_LEN + 2 * SLOT_AREA_LEN


def roundup(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Geometry:
    """Where everything lies, computed from L and chunk_log2 alone. All values in bytes."""

    data_len: int
    chunk_log2: int

    @property
    def chunk_len(self) -> int:
        return 1 << self.chunk_log2

    @property
    def chunk_count(self) -> int:
        # A file without data has one chunk, empty and final.
        return max(1, -(-self.data_len // self.chunk_len))

    def chunk_len_of(self, index: int) -> int:
        if index == self.chunk_count - 1:
            return self.data_len - index * self.chunk_len
        return self.chunk_len

    @property
    def trailer_offset(self) -> int:
        """T0."""
        return roundup(self.data_len, BLOCK)

    @property
    def slot_area_offsets(self) -> tuple[int, int]:
        first = self.trailer_offset + SUPERBLOCK_LEN
        return first, first + SLOT_AREA_LEN

    @property
    def table_offset(self) -> int:
        return self.trailer_offset + TABLE_DISTANCE

    @property
    def table_len(self) -> int:
        """TL."""
        return roundup(ENTRY_LEN * self.chunk_count, BLOCK)

    @property
    def superblock_b_offset(self) -> int:
        return self.table_offset + self.table_len

    @property
    def file_len(self) -> int:
        """E."""
        return self.superblock_b_offset + SUPERBLOCK_LEN

    def extents(self) -> tuple[tuple[int, int], ...]:
        """The nine (offset, length) pairs of a superblock, in its order (section 2.1)."""
        slot_area_1, slot_area_2 = self.slot_area_offsets
        return (
            (0, self.data_len),
            (self.trailer_offset, SUPERBLOCK_LEN),
            (slot_area_1, SLOT_AREA_LEN),
            (slot_area_2, SLOT_AREA_LEN),
            (self.table_offset, self.table_len),
            (0, 0),
            (0, 0),
            (0, 0),
            (self.superblock_b_offset, SUPERBLOCK_LEN),
        )


MIN_FILE_LEN = Geometry(0, 16).file_len


def trailer_offset_from_file_len(file_len: int, chunk_log2: int) -> int | None:
    """T0 of a file of length E with this chunk size, or None if no T0 gives that E.

    ceil(L/chunk) = ceil(T0/chunk), so E can be computed from T0 in the place of L; it grows
    strictly with T0, so bisection over the multiples of 4096 finds the only candidate.
    """
    low, high = 0, file_len // BLOCK
    while low <= high:
        middle = (low + high) // 2
        length = Geometry(middle * BLOCK, chunk_log2).file_len
        if length == file_len:
            return middle * BLOCK
        if length < file_len:
            low = middle + 1
        else:
            high = middle - 1
    return None


# ---------------------------------------------------------------------------------------------
# Section 4: suites. `open` returns the plaintext or raises Damaged; nothing comes out unverified.


class Aead(Protocol):
    name: str
    tag_len: int

    def __init__(self, key: bytes) -> None: ...

    def open(self, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes: ...


class Aegis256X2:
    name, tag_len = "AEGIS-256X2", 32

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = pyaegis.Aegis256X2(tag_size=32)

    def open(self, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
        try:
            return self._aead.decrypt(self._key, nonce + bytes(8), ciphertext + tag, aad)
        except pyaegis.DecryptionError as error:
            raise Damaged("authentication failed") from error


class Xaes256Gcm:
    """XAES-256-GCM, composed as in "Detailed key derivation algorithm" of C2SP XAES-256-GCM.md."""

    name, tag_len = "XAES-256-GCM", 16

    def __init__(self, key: bytes) -> None:
        # Each use encrypts single blocks of 16 bytes with bare AES-256; that is what ECB is.
        self._aes = Cipher(algorithms.AES256(key), modes.ECB())
        ell = int.from_bytes(self._encrypt_block(bytes(16)), "big")
        k1 = (ell << 1) & ((1 << 128) - 1)
        if ell >> 127:
            k1 ^= 0b10000111
        self._k1 = k1

    def _encrypt_block(self, block: bytes) -> bytes:
        encryptor = self._aes.encryptor()
        return encryptor.update(block) + encryptor.finalize()

    def derive(self, nonce: bytes) -> tuple[bytes, bytes]:
        """The key and nonce for AES-256-GCM (Kx and Nx)."""
        halves = []
        for counter in (b"\x00\x01", b"\x00\x02"):
            message = int.from_bytes(counter + b"X\x00" + nonce[:12], "big")
            halves.append(self._encrypt_block((message ^ self._k1).to_bytes(16, "big")))
        return b"".join(halves), nonce[12:]

    def open(self, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
        gcm_key, gcm_nonce = self.derive(nonce)
        try:
            return AESGCM(gcm_key).decrypt(gcm_nonce, ciphertext + tag, aad)
        except InvalidTag as error:
            raise Damaged("authentication failed") from error


class XChaCha20Poly1305:
    name, tag_len = "XChaCha20-Poly1305", 16

    def __init__(self, key: bytes) -> None:
        self._key = key

    def open(self, nonce: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
        try:
            return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext + tag, aad, nonce, self._key
            )
        except nacl.exceptions.CryptoError as error:
            raise Damaged("authentication failed") from error


SUITES: dict[int, type[Aead]] = {1: Aegis256X2, 2: Xaes256Gcm, 3: XChaCha20Poly1305}

# ---------------------------------------------------------------------------------------------
# Section 2.1: superblock.

STATES = {1: "sealed", 2: "encrypting", 3: "decrypting"}
SEALED = 1
SUPERBLOCK_MAGIC = b"PAGESEAL"
# magic, version, suite, chunk_log2, state, location, reserved, file id, L, job sequence, job id,
# shard index, shard count, compatible, read-only compatible, incompatible bits, commitment
SUPERBLOCK_FIELDS = struct.Struct("<8s H B B B B H 16s Q Q 16s I I Q Q Q 32s")
SUPERBLOCK_EXTENTS = struct.Struct("<18Q")
EXTENTS_OFFSET = 128
# From here to the MAC: second descriptor, table digest, reserved; all zero in version 1.
SUPERBLOCK_ZEROS = slice(272, 4032)


@dataclass(frozen=True)
class Superblock:
    """A superblock whose checksum and fields are right. Its MAC is not yet verified."""

    raw: bytes
    suite: int
    state: int
    file_id: bytes
    job_sequence: int
    job_id: bytes
    commitment: bytes
    geometry: Geometry

    @property
    def header_hash(self) -> bytes:
        """Section 2.2. Shard index 0 and count 1 are all that version 1 admits."""
        return hashlib.sha256(
            b"pageseal header v1"
            + struct.pack("<HBB", VERSION, self.suite, self.geometry.chunk_log2)
            + self.file_id
            + struct.pack("<II", 0, 1)
        ).digest()


def checksum_matches(block: bytes) -> bool:
    """The last 32 bytes of superblock and slot area are the SHA-256 of all before them."""
    return hashlib.sha256(block[:-32]).digest() == block[-32:]


def require(condition: bool, what: str) -> None:
    if not condition:
        raise Damaged(what)


def require_intact(block: bytes, magic: bytes, what: str) -> None:
    if block[:8] != magic:
        raise NotIntact(f"{what}: no magic")
    if not checksum_matches(block):
        raise NotIntact(f"{what}: checksum does not match")


def parse_superblock(raw: bytes) -> Superblock:
    """Check magic, checksum, version, incompatible bits and then every field, in this order."""
    require_intact(raw, SUPERBLOCK_MAGIC, "superblock")
    (
        _magic, version, suite, chunk_log2, state, location, reserved, file_id, data_len,
        job_sequence, job_id, shard_index, shard_count, _compatible, _ro_compatible,
        incompatible, commitment,
    ) = SUPERBLOCK_FIELDS.unpack_from(raw)  # fmt: skip
    if version > VERSION:
        raise Refused(f"made by a newer version (format {version})")
    require(version == VERSION, "superblock: version 0")
    if incompatible:
        raise Refused(f"made by a newer version (incompatible feature bits {incompatible:#x})")
    if suite not in SUITES:
        raise Refused(f"unknown suite {suite}")
    if state == 4:
        raise Refused("state 4 (rekeying) is not used in version 1")
    if location == 1:
        raise Refused("a detached trailer is not used in version 1")
    require(chunk_log2 in CHUNK_LOG2_RANGE, "superblock: chunk size")
    require(state in STATES, "superblock: state")
    require(location == 0, "superblock: trailer location")
    require(reserved == 0, "superblock: reserved bytes")
    # Before any arithmetic with it.
    require(data_len <= MAX_DATA_LEN, "superblock: data length")
    require(job_sequence >= 1, "superblock: job sequence")
    require((shard_index, shard_count) == (0, 1), "superblock: shard")
    geometry = Geometry(data_len, chunk_log2)
    numbers = SUPERBLOCK_EXTENTS.unpack_from(raw, EXTENTS_OFFSET)
    extents = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    require(extents == geometry.extents(), "superblock: offsets or lengths")
    require(not any(raw[SUPERBLOCK_ZEROS]), "superblock: reserved bytes")
    return Superblock(raw, suite, state, file_id, job_sequence, job_id, commitment, geometry)


# ---------------------------------------------------------------------------------------------
# Section 2.2: slot area.

SLOT_AREA_MAGIC = b"PGSLSLOT"
# magic, version, slot count, bytes used by records, file id, generation, reserved
SLOT_AREA_FIELDS = struct.Struct("<8s H H I 16s Q 24s")
SLOT_RECORDS_OFFSET = 64
SLOT_RECORDS_END = 24512
# type, label length, sealed info length, age file length, reserved
SLOT_FIELDS = struct.Struct("<B B H I 8s")
SLOT_X25519, SLOT_PASSPHRASE, SLOT_PLUGIN = 1, 2, 3
SLOT_TYPES = {SLOT_X25519: "x25519", SLOT_PASSPHRASE: "passphrase", SLOT_PLUGIN: "plugin"}
MAX_LABEL_LEN = 64
SEALED_INFO_LENGTHS = range(40, 1025)
AGE_FILE_LENGTHS = range(1, 16385)
AGE_BINARY_INTRO = b"age-encryption.org/v1\n"


@dataclass(frozen=True)
class Slot:
    kind: int
    label: str
    sealed_info: bytes
    age_file: bytes


@dataclass(frozen=True)
class SlotArea:
    """A slot area whose checksum and records are right. Its MAC is not yet verified."""

    raw: bytes
    generation: int
    slots: tuple[Slot, ...]


def parse_slot_area(raw: bytes, file_id: bytes) -> SlotArea:
    require_intact(raw, SLOT_AREA_MAGIC, "slot area")
    fields = SLOT_AREA_FIELDS.unpack_from(raw)
    _magic, version, count, used, area_file_id, generation, reserved = fields
    if version > VERSION:
        raise Refused(f"slot area made by a newer version (format {version})")
    require(version == VERSION, "slot area: version 0")
    require(1 <= count <= MAX_SLOTS, "slot area: slot count")
    require(used % 8 == 0, "slot area: bytes used")
    end = SLOT_RECORDS_OFFSET + used
    require(end <= SLOT_RECORDS_END, "slot area: bytes used")
    require(area_file_id == file_id, "slot area: belongs to another file")
    require(generation >= 1, "slot area: generation")
    require(not any(reserved), "slot area: reserved bytes")
    slots = []
    position = SLOT_RECORDS_OFFSET
    for _ in range(count):
        slot, position = parse_slot(raw, position, end)
        slots.append(slot)
    require(position == end, "slot area: records and bytes used differ")
    require(not any(raw[end:SLOT_RECORDS_END]), "slot area: padding")
    return SlotArea(raw, generation, tuple(slots))


def parse_slot(raw: bytes, start: int, end: int) -> tuple[Slot, int]:
    """One record of raw[start:end] and the position of the next one."""
    require(end - start >= SLOT_FIELDS.size, "slot: record cut off")
    kind, label_len, info_len, age_len, reserved = SLOT_FIELDS.unpack_from(raw, start)
    if kind not in SLOT_TYPES:
        raise Refused(f"unknown slot type {kind}")
    require(label_len <= MAX_LABEL_LEN, "slot: label length")
    require(info_len == 0 or info_len in SEALED_INFO_LENGTHS, "slot: sealed info length")
    require(age_len in AGE_FILE_LENGTHS, "slot: age file length")
    require(not any(reserved), "slot: reserved bytes")
    label_at = start + SLOT_FIELDS.size
    info_at = label_at + label_len
    age_at = info_at + info_len
    padding_at = age_at + age_len
    next_at = start + roundup(padding_at - start, 8)
    require(next_at <= end, "slot: record cut off")
    require(not any(raw[padding_at:next_at]), "slot: padding")
    try:
        label = raw[label_at:info_at].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("slot: label is not UTF-8") from error
    # "Control character" is read as Unicode's general category Cc.
    require(not any(unicodedata.category(c) == "Cc" for c in label), "slot: label")
    return Slot(kind, label, raw[info_at:age_at], raw[age_at:padding_at]), next_at


# ---------------------------------------------------------------------------------------------
# Section 3: keys.


class Keys:
    """All that is derived from the file key of one file."""

    def __init__(self, file_key: bytes, superblock: Superblock) -> None:
        self._file_key = file_key
        self._info_tail = (
            bytes([superblock.suite, superblock.geometry.chunk_log2]) + superblock.file_id
        )

    def derive(self, label: bytes) -> bytes:
        """K(label), 32 bytes. (The fingerprint key, of 16, is used in journals only.)"""
        hkdf = HKDF(SHA256(), 32, salt=b"pageseal v1", info=label + self._info_tail)
        return hkdf.derive(self._file_key)

    def verify(self, superblock: Superblock, slot_area: SlotArea) -> None:
        """Commitment, then the superblock's MAC, then the slot area's."""
        if not hmac.compare_digest(self.derive(b"commitment"), superblock.commitment):
            raise Damaged("the unwrapped key is not the one that the file commits to")
        metadata_key = self.derive(b"metadata")
        check_mac(metadata_key, b"pageseal superblock v1", superblock.raw, "superblock")
        check_mac(metadata_key, b"pageseal slots v1", slot_area.raw, "slot area")


def check_mac(key: bytes, label: bytes, block: bytes, what: str) -> None:
    """The MAC is the 32 bytes before the checksum, over label and all bytes before the MAC."""
    if not hmac.compare_digest(hmac.digest(key, label + block[:-64], "sha256"), block[-64:-32]):
        raise Damaged(f"{what}: MAC does not match, it was forged")


@dataclass(frozen=True)
class Credentials:
    """What the user holds: age X25519 identities, or a passphrase."""

    identities: tuple[pyrage.x25519.Identity, ...] = ()
    passphrase: str | None = None

    def unwrap(self, slot: Slot) -> bytes | None:
        """The plaintext of the slot's age file, or None if it is not for these credentials."""
        # pyrage would accept armored files too; the format does not.
        if not slot.age_file.startswith(AGE_BINARY_INTRO):
            raise Damaged("slot: not a binary age v1 file")
        try:
            if slot.kind == SLOT_X25519 and self.identities:
                return bytes(pyrage.decrypt(slot.age_file, list(self.identities)))
            if slot.kind == SLOT_PASSPHRASE and self.passphrase is not None:
                return bytes(pyrage.passphrase.decrypt(slot.age_file, self.passphrase))
        except pyrage.DecryptError:
            # age does not tell a wrong passphrase from a damaged header, so neither can we.
            return None
        return None


# ---------------------------------------------------------------------------------------------
# Section 2.3: chunk table.

# nonce, tag, epoch, flags, reserved
ENTRY = struct.Struct("<24s 32s I H H")
FLAG_HOLE = 1
ENTRIES_PER_READ = 64
# "psealchk", file id, index, length, final, suite, reserved, nonce, epoch, flags, reserved
CHUNK_AAD = struct.Struct("<8s 16s Q I B B H 24s I H H")


@dataclass(frozen=True)
class Entry:
    nonce: bytes
    tag: bytes
    epoch: int
    flags: int


def parse_entry(raw: bytes, tag_len: int, where: str) -> Entry:
    nonce, tag, epoch, flags, reserved = ENTRY.unpack(raw)
    require(not any(tag[tag_len:]), f"{where}: unused bytes of the tag")
    require(epoch == 0, f"{where}: epoch")
    require(flags & ~FLAG_HOLE == 0, f"{where}: flags")
    require(reserved == 0, f"{where}: reserved bytes")
    return Entry(nonce, tag[:tag_len], epoch, flags)


# ---------------------------------------------------------------------------------------------
# The whole file.


class SealedFile:
    """A sealed file, found and parsed. Nothing in it is authenticated before `unlock`.

    `warnings` says which copies of superblock or slot area are damaged while the other is whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file_len = file.seek(0, os.SEEK_END)
        self._keys: Keys | None = None
        self.warnings: list[str] = []
        self.superblock = self._find_superblock()
        self.geometry = self.superblock.geometry
        self.slot_area = self._find_slot_area()

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(length)
        require(len(data) == length, f"the file ends before offset {offset + length}")
        return data

    # -- superblock ---------------------------------------------------------------------------

    def _find_superblock(self) -> Superblock:
        """Section 2.0: both copies, or the one that is intact, in a file that ends at E."""
        if self._file_len < MIN_FILE_LEN or self._file_len % BLOCK != 0:
            raise self._explain_missing_trailer(None)
        last_block = self._read(self._file_len - SUPERBLOCK_LEN, SUPERBLOCK_LEN)
        try:
            copy_b = parse_superblock(last_block)
        except NotIntact as error_b:
            copy_a = self._find_copy_a(error_b if last_block[:8] == SUPERBLOCK_MAGIC else None)
            self.warnings.append(f"superblock copy B is damaged ({error_b})")
            return copy_a
        require(
            copy_b.geometry.file_len == self._file_len,
            f"the file is {self._file_len} bytes long, not {copy_b.geometry.file_len}",
        )
        raw_a = self._read(copy_b.geometry.trailer_offset, SUPERBLOCK_LEN)
        try:
            copy_a = parse_superblock(raw_a)
        except NotIntact as error_a:
            self.warnings.append(f"superblock copy A is damaged ({error_a})")
            return copy_b
        # A journal could decide between them; this reader has none.
        require(copy_a.raw == copy_b.raw, "superblock copies A and B differ, and both are valid")
        return copy_b

    def _find_copy_a(self, error: Damaged | None) -> Superblock:
        """Copy A without the help of copy B: the file's length admits five places at most.

        `error` is what is wrong with copy B, if its magic shows that it is one.
        """
        found = []
        for chunk_log2 in CHUNK_LOG2_RANGE:
            offset = trailer_offset_from_file_len(self._file_len, chunk_log2)
            if offset is None:
                continue
            raw = self._read(offset, SUPERBLOCK_LEN)
            try:
                superblock = parse_superblock(raw)
            except Damaged as error_a:
                if raw[:8] == SUPERBLOCK_MAGIC:
                    error = error or error_a
                continue
            geometry = superblock.geometry
            if geometry.file_len == self._file_len and geometry.trailer_offset == offset:
                found.append(superblock)
        # Two chunk sizes can admit the same place; a superblock found twice is still one.
        distinct = {superblock.raw: superblock for superblock in found}
        if len(distinct) == 1:
            return found[0]
        require(not distinct, "several superblocks claim to be copy A, and copy B is damaged")
        raise self._explain_missing_trailer(error)

    def _explain_missing_trailer(self, error: Damaged | None) -> PagesealError:
        """Tell a plain file from a sealed one that is cut off or followed by foreign bytes.

        Superblocks start on blocks. Looking back over the longest trailer that a file of this
        length can have finds copy A of a file cut off in its trailer; 16 MiB more finds copy B
        before as many foreign bytes. This is a service: the answer is no in any case.
        """
        look_back = self._file_len // 512 + TABLE_DISTANCE + (16 << 20)
        first = max(0, self._file_len - look_back) // BLOCK * BLOCK
        for offset in range(first, self._file_len - SUPERBLOCK_LEN + 1, BLOCK):
            try:
                parse_superblock(self._read(offset, SUPERBLOCK_LEN))
            except PagesealError:
                continue
            return Damaged(
                f"the file is cut off or foreign bytes follow it (superblock at {offset})"
            )
        if error is not None:
            return Damaged(f"both superblock copies are damaged ({error})")
        return Refused("not a sealed file")

    # -- slots --------------------------------------------------------------------------------

    def _find_slot_area(self) -> SlotArea | None:
        """A valid slot area; None if there is none and a job is under way, which must not be."""
        copies: list[SlotArea] = []
        errors: list[str] = []
        refused: Refused | None = None
        for number, offset in enumerate(self.geometry.slot_area_offsets, start=1):
            try:
                raw = self._read(offset, SLOT_AREA_LEN)
                copies.append(parse_slot_area(raw, self.superblock.file_id))
            except (Damaged, Refused) as error:
                errors.append(f"slot area copy {number} is damaged ({error})")
                if isinstance(error, Refused):
                    refused = refused or error
        self.warnings += errors
        if not copies:
            if refused is not None:
                raise refused
            require(self.superblock.state != SEALED, "; ".join(errors))
            return None
        require(copies[0].raw == copies[-1].raw, "slot area copies differ, and both are valid")
        return copies[0]

    def slots(self) -> tuple[Slot, ...]:
        return self.slot_area.slots if self.slot_area else ()

    # -- unlocking ----------------------------------------------------------------------------

    def unlock(self, credentials: Credentials) -> None:
        """Unwrap the file key and verify all that can be verified but chunks.

        Raises NoKeyFits if no slot opens, Damaged if one opens and does not fit this file.
        """
        if self.superblock.state != SEALED or self.slot_area is None:
            state = STATES[self.superblock.state]
            raise Refused(f"not sealed: a job is under way ({state}); pageseal can resume it")
        for slot in self.slot_area.slots:
            payload = credentials.unwrap(slot)
            if payload is not None:
                file_key = self._check_slot_payload(payload)
                keys = Keys(file_key, self.superblock)
                keys.verify(self.superblock, self.slot_area)
                self._check_paddings()
                self._keys = keys
                return
        raise NoKeyFits("no key slot opens with what was given")

    def _unlocked(self) -> Keys:
        if self._keys is None:
            raise RuntimeError("unlock() comes first")
        return self._keys

    def _check_slot_payload(self, payload: bytes) -> bytes:
        """File key (32), file id (16), header hash (32)."""
        require(len(payload) == 80, "slot: its age file does not hold 80 bytes")
        file_key, file_id, header_hash = payload[:32], payload[32:48], payload[48:]
        require(file_id == self.superblock.file_id, "slot: it belongs to another file")
        require(header_hash == self.superblock.header_hash, "slot: it belongs to another header")
        return file_key

    def _check_paddings(self) -> None:
        """Zeros between data and trailer, and after the last entry. Both are below one block."""
        geometry = self.geometry
        table_used = ENTRY_LEN * geometry.chunk_count
        for what, start, end in (
            ("padding after the data", geometry.data_len, geometry.trailer_offset),
            (
                "padding of the chunk table",
                geometry.table_offset + table_used,
                geometry.superblock_b_offset,
            ),
        ):
            require(not any(self._read(start, end - start)), f"{what} is not zero")

    def slot_info(self, slot: Slot) -> tuple[int, str] | None:
        """When a slot was made (seconds since 1970) and for which recipient; None if not noted."""
        if not slot.sealed_info:
            return None
        nonce, ciphertext, tag = (
            slot.sealed_info[:24], slot.sealed_info[24:-16], slot.sealed_info[-16:],
        )  # fmt: skip
        aad = b"pageseal slot info v1" + self.superblock.file_id
        plaintext = XChaCha20Poly1305(self._unlocked().derive(b"slot info")).open(
            nonce, ciphertext, tag, aad
        )
        require(len(plaintext) >= 8, "slot: sealed info is too short")
        try:
            recipient = plaintext[8:].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Damaged("slot: recipient is not UTF-8") from error
        return int.from_bytes(plaintext[:8], "little"), recipient

    # -- data ---------------------------------------------------------------------------------

    def chunks(self) -> Iterator[bytes]:
        """The plaintext, chunk by chunk; each is verified before it is given out.

        Damaged may be raised after some chunks. What came before stays authentic, but is not
        the whole file.
        """
        aead = SUITES[self.superblock.suite](self._unlocked().derive(b"chunk"))
        for index, entry in self._entries(aead.tag_len):
            length = self.geometry.chunk_len_of(index)
            ciphertext = self._read(index * self.geometry.chunk_len, length)
            aad = self._chunk_aad(index, length, entry)
            try:
                yield aead.open(entry.nonce, ciphertext, entry.tag, aad)
            except Damaged as error:
                offset = index * self.geometry.chunk_len
                raise Damaged(f"chunk {index} at offset {offset}: {error}") from error

    def _entries(self, tag_len: int) -> Iterator[tuple[int, Entry]]:
        geometry = self.geometry
        for first in range(0, geometry.chunk_count, ENTRIES_PER_READ):
            count = min(ENTRIES_PER_READ, geometry.chunk_count - first)
            raw = self._read(geometry.table_offset + ENTRY_LEN * first, ENTRY_LEN * count)
            for i in range(count):
                part = raw[ENTRY_LEN * i : ENTRY_LEN * (i + 1)]
                yield first + i, parse_entry(part, tag_len, f"entry of chunk {first + i}")

    def _chunk_aad(self, index: int, length: int, entry: Entry) -> bytes:
        """Section 4."""
        final = 1 if index == self.geometry.chunk_count - 1 else 0
        return CHUNK_AAD.pack(
            b"psealchk", self.superblock.file_id, index, length, final, self.superblock.suite, 0,
            entry.nonce, entry.epoch, entry.flags, 0,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# Command line.


def read_credentials(identity_path: str | None, passphrase_path: str | None) -> Credentials:
    if passphrase_path is not None:
        return Credentials(passphrase=read_secret_text(passphrase_path).removesuffix("\n"))
    identities = []
    if identity_path is not None:
        for line in map(str.strip, read_secret_text(identity_path).splitlines()):
            if line and not line.startswith("#"):
                identities.append(parse_identity(line))
    return Credentials(identities=tuple(identities))


def read_secret_text(path: str) -> str:
    with open(path, "rb") as file:
        try:
            return file.read().decode("utf-8")
        except UnicodeDecodeError:
            # Neither the message nor its cause may show a byte of the secret.
            raise Refused("the identity or passphrase file is not UTF-8") from None


def parse_identity(line: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError as error:
        # The line is a secret: it is not repeated in the message.
        raise Refused("the identity file holds a line that is no age X25519 identity") from error


def open_output(path: str) -> BinaryIO:
    """Stdout for "-"; else a new file, readable by its owner only. Never an existing one."""
    if path == "-":
        return sys.stdout.buffer
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def write_output(path: str, parts: Iterator[bytes]) -> None:
    """Write all parts. Where that fails, a file that was made is removed again."""
    output = open_output(path)
    if path == "-":
        for part in parts:
            output.write(part)
        output.flush()
        return
    try:
        with output:
            for part in parts:
                output.write(part)
            output.flush()
            os.fsync(output.fileno())
    except BaseException:
        os.unlink(path)
        raise


def describe(sealed: SealedFile, unlocked: bool) -> dict[str, Any]:
    superblock, geometry = sealed.superblock, sealed.geometry
    slots = []
    for number, slot in enumerate(sealed.slots()):
        described = {
            "slot": number,
            "type": SLOT_TYPES[slot.kind],
            "label": slot.label,
            "age_file_bytes": len(slot.age_file),
            "sealed_info_bytes": len(slot.sealed_info),
        }
        if unlocked and (info := sealed.slot_info(slot)):
            described["made_at_unix_s"], described["recipient"] = info
        slots.append(described)
    return {
        "format_version": VERSION,
        "state": STATES[superblock.state],
        "suite": superblock.suite,
        "suite_name": SUITES[superblock.suite].name,
        "chunk_bytes": geometry.chunk_len,
        "chunk_count": geometry.chunk_count,
        "data_bytes": geometry.data_len,
        "file_bytes": geometry.file_len,
        "file_id": superblock.file_id.hex(),
        "job_sequence": superblock.job_sequence,
        "job_id": superblock.job_id.hex(),
        "authenticated": unlocked,
        "slot_generation": sealed.slot_area.generation if sealed.slot_area else None,
        "slots": slots,
        "warnings": sealed.warnings,
    }


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Read pageseal's sealed files.")
    commands = parser.add_subparsers(dest="command", required=True)
    decrypt = commands.add_parser("decrypt", help="write the plaintext to a new file, or to -")
    info = commands.add_parser("info", help="describe the file as JSON")
    slot = commands.add_parser("slot", help="write a slot's age file to a new file, or to -")
    for command, needed in ((decrypt, True), (info, False)):
        key = command.add_mutually_exclusive_group(required=needed)
        key.add_argument("-i", "--identity", metavar="IDENTITY_FILE")
        key.add_argument("--passphrase-file", metavar="F")
    slot.add_argument("number", type=int, metavar="N", help="counted from 0, as in info")
    for command in (decrypt, info, slot):
        command.add_argument("sealed", metavar="SEALED")
    for command in (decrypt, slot):
        command.add_argument("out", metavar="OUT")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    with open(options.sealed, "rb") as file:
        sealed = SealedFile(file)
        for warning in sealed.warnings:
            print(f"warning: {options.sealed}: {warning}", file=sys.stderr)
        if options.command == "slot":
            if not 0 <= options.number < len(sealed.slots()):
                raise Refused(f"there is no slot {options.number}")
            write_output(options.out, iter([sealed.slots()[options.number].age_file]))
            return
        has_key = options.identity is not None or options.passphrase_file is not None
        if has_key:
            sealed.unlock(read_credentials(options.identity, options.passphrase_file))
        if options.command == "decrypt":
            write_output(options.out, sealed.chunks())
        else:
            print(json.dumps(describe(sealed, has_key), indent=2))


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 refused, 2 usage (argparse), 3 no key fits, 4 damaged."""
    options = parse_arguments(arguments)
    try:
        run(options)
    except PagesealError as error:
        print(f"error: {options.sealed}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

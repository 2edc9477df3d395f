"""What is made sure of once a row, so that nobody is fast by doing nothing."""

from errors import NotRun
from files import sha256
from processes import run


def in_place_round_trip(context, measured, file, *options):
    """Seals and opens once; every byte must be what it was, and must not have been in between."""
    before = sha256(file.path)
    run(context.encrypt(file.path, *options) if options else context.encrypt_in_place(file.path))
    if sha256(file.sealed) == before:
        raise NotRun("the sealed file is the plain one")
    run(context.decrypt(file.sealed))
    if sha256(file.path) != before:
        raise NotRun("decrypt did not bring the same bytes back")
    measured.checks.append("encrypt, then decrypt in place: the same SHA-256")


def sealed_is_good(context, measured, file):
    """For files that are too large to be hashed twice: the product's own look at every byte."""
    run(context.verify(file.sealed))
    measured.checks.append("the sealed file passes `verify`")

"""Whole files in place, durable: against copying, overwriting, fio, and LUKS."""

from bars import faster, ratio, share
from files import InPlaceFile, read_in, warm_free_memory
from processes import run
from rounds import Measured, Step, alternate
from rows.checks import in_place_round_trip, sealed_is_good
from rows.limited import WithinLimit
from rows.states import PAGES, in_both_states


def copy_and_sync(path, copy):
    return ["sh", "-c", 'cp -- "$1" "$2" && sync -- "$2"', "sh", path, copy]


class Cached:
    key = "cached"
    work = "cached 4 GiB, crash-safe, durable, `encrypt` against `cp` + `sync` of that file, and against overwriting it once with dd"
    method = (
        "`pageseal encrypt`, as it is without options; `cp FILE COPY && sync COPY`; "
        "`dd if=FILE of=FILE conv=notrunc,fdatasync bs=4M`. Before each the file is taken out of the page cache and read through, and nothing is left to be written back. "
        "It is read in two ways: with readahead, for which kernels of today take large folios, as the file of a user has them; and without, "
        "which gives *single pages*, as a file has them that was written a little at a time: what the kernel does for a page is then done for every 4 KiB."
    )

    def disk_bytes(self, context):
        return 2 * context.size(4 << 30)

    def measure(self, context):
        length = context.size(4 << 30)
        measured = Measured(facts={"bytes": length})
        file = InPlaceFile(context.workspace, "cached.bin", length)
        copy = context.workspace.path("copy.bin")
        in_place_round_trip(context, measured, file)

        def encrypt():
            return run(context.encrypt_in_place(file.path)).seconds

        def cp():
            warm_free_memory(context.workspace, length)
            seconds = run(copy_and_sync(file.path, copy)).seconds
            copy.unlink()
            return seconds

        def dd():
            command = ["dd", f"if={file.path}", f"of={file.path}", "conv=notrunc,fdatasync", "bs=4M", "status=none"]
            return run(command).seconds

        steps = [
            in_both_states(file, "pageseal", encrypt),
            in_both_states(file, "cp + sync", cp),
            in_both_states(file, "dd", dd),
        ]
        return alternate(context, measured, steps)

    def figures(self, row):
        return [
            figure
            for state in PAGES
            for figure in (
                share(row, f"share of the time of cp + sync{state}", f"pageseal{state}", f"cp + sync{state}", 0.5),
                share(row, f"share of the time of dd{state}", f"pageseal{state}", f"dd{state}", 1.1),
                share(row, f"dd's share of the time of cp + sync{state}", f"dd{state}", f"cp + sync{state}", None),
            )
        ]


class Decrypt:
    key = "decrypt"
    work = "decrypt in place, cached, durable, verify pass included, against encrypt"
    method = (
        "4 GiB, encrypted and decrypted in turn, without options. Each starts with the file in the page cache, taken out of it and read in again just before (with readahead), and nothing to be written back. "
        "What decrypt is made of is timed too: `verify`, and `decrypt --no-verify-first`."
    )

    def disk_bytes(self, context):
        return context.size(4 << 30)

    def measure(self, context):
        length = context.size(4 << 30)
        measured = Measured(facts={"bytes": length})
        file = InPlaceFile(context.workspace, "turns.bin", length)
        in_place_round_trip(context, measured, file)

        def ready():
            read_in(file.sealed)
            context.workspace.settle()

        def encrypt():
            file.reset_read_in()
            return {"encrypt": run(context.encrypt_in_place(file.path)).seconds}

        def verify():
            ready()
            return {"verify": run(context.verify(file.sealed)).seconds}

        def decrypt():
            ready()
            return {"decrypt": run(context.decrypt(file.sealed)).seconds}

        def convert_alone():
            file.reset()
            run(context.encrypt_in_place(file.path))
            ready()
            return {"decrypt --no-verify-first": run(context.decrypt(file.sealed, "--no-verify-first")).seconds}

        steps = [
            Step("encrypt", ["encrypt"], encrypt),
            Step("verify", ["verify"], verify),
            Step("decrypt", ["decrypt"], decrypt),
            Step("no-verify-first", ["decrypt --no-verify-first"], convert_alone),
        ]
        return alternate(context, measured, steps, rotate=False)

    def figures(self, row):
        return [
            share(row, "share of encrypt's time", "decrypt", "encrypt", 1.2),
            share(row, "verify's share of encrypt's time", "verify", "encrypt", None),
            share(row, "decrypt --no-verify-first, share of encrypt's time", "decrypt --no-verify-first", "encrypt", None),
        ]


class LargerThanMemory(WithinLimit):
    key = "larger"
    work = (
        "larger than memory (cgroup limit of 4 GiB, file of 12 GiB, cold), durable, in place, against `fio --rw=rw` 50/50, O_DIRECT, 1 MiB, "
        "depth 16, and against `cp` + `sync` under the same limit"
    )
    method = (
        "All in the same cgroup. fio reads and writes as much of the same file as pageseal has to: the file once each, with an fsync at "
        "its end, so equal times are equal rates."
    )

    def disk_bytes(self, context):
        return 2 * context.size(12 << 30)

    def measure_within(self, context, measured, length, cgroup):
        file = InPlaceFile(context.workspace, "large.bin", length)
        copy = context.workspace.path("copy.bin")

        def encrypt():
            file.reset_cold()
            seconds = run(context.encrypt_in_place(file.path), cgroup=cgroup).seconds
            if not measured.checks:
                sealed_is_good(context, measured, file)
            return {"pageseal": seconds}

        def fio():
            file.reset_cold()
            command = fio_command(context.tools.peer("fio"), file.path, length)
            return {"fio": run(command, cgroup=cgroup).seconds}

        def cp():
            file.reset_cold()
            seconds = run(copy_and_sync(file.path, copy), cgroup=cgroup).seconds
            copy.unlink()
            return {"cp + sync": seconds}

        steps = [
            Step("pageseal", ["pageseal"], encrypt),
            Step("fio", ["fio"], fio),
            Step("cp", ["cp + sync"], cp),
        ]
        return alternate(context, measured, steps)

    def figures(self, row):
        return [
            ratio(row, "rate, as a share of fio's", "fio", "pageseal", "at least", 0.9),
            share(row, "share of the time of cp + sync", "pageseal", "cp + sync", 0.9),
        ]


def fio_command(fio, path, length):
    return [
        fio,
        "--name=half-and-half",
        f"--filename={path}",
        "--rw=rw",
        "--rwmixread=50",
        "--direct=1",
        "--bs=1M",
        "--ioengine=io_uring",
        "--iodepth=16",
        f"--size={length}",
        f"--io_size={2 * length}",
        "--end_fsync=1",
        "--overwrite=1",
        "--randrepeat=0",
        "--refill_buffers=0",
        "--thread",
        "--output-format=terse",
    ]


class Reencrypt:
    key = "reencrypt"
    work = "in place, against `cryptsetup reencrypt --encrypt --resilience checksum` on a file of that size"
    method = (
        "4 GiB. cryptsetup has its header in another file, for otherwise it would move the data and not use checksums; its cheapest key "
        "derivation; AES-256-XTS."
    )

    def disk_bytes(self, context):
        return context.size(4 << 30) + (32 << 20)

    def measure(self, context):
        length = context.size(4 << 30)
        measured = Measured(facts={"bytes": length})
        file = InPlaceFile(context.workspace, "device.bin", length)
        header, key = context.workspace.path("luks-header.bin"), context.workspace.path("luks.key")
        key.write_bytes(b"of no value, and not read by anybody")
        in_place_round_trip(context, measured, file)

        def encrypt():
            file.reset_read_in()
            return {"pageseal": run(context.encrypt_in_place(file.path)).seconds}

        def cryptsetup():
            file.reset_read_in()
            header.unlink(missing_ok=True)
            program = context.tools.peer("cryptsetup")
            seconds = run(reencrypt_command(program, header, key, file.path)).seconds
            run([program, "isLuks", header])
            return {"cryptsetup": seconds}

        steps = [
            Step("pageseal", ["pageseal"], encrypt),
            Step("cryptsetup", ["cryptsetup"], cryptsetup),
        ]
        return alternate(context, measured, steps)

    def figures(self, row):
        return [faster(row, "times faster", "cryptsetup", "pageseal", 4)]


def reencrypt_command(cryptsetup, header, key, path):
    return [
        cryptsetup,
        "reencrypt",
        "--encrypt",
        "--type=luks2",
        "--resilience=checksum",
        f"--header={header}",
        f"--key-file={key}",
        "--cipher=aes-xts-plain64",
        "--key-size=512",
        "--pbkdf=pbkdf2",
        "--pbkdf-force-iterations=1000",
        "--batch-mode",
        path,
    ]

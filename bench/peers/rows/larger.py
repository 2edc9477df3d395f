"""Files larger than memory, with what is done to them other than sealing them in place (which is in `in_place`)."""

from bars import ratio, share
from errors import NotRun
from files import InPlaceFile, make_cold, sha256
from processes import run
from rounds import Step, alternate
from rows.in_place import copy_and_sync
from rows.limited import WithinLimit


class LargerOthers(WithinLimit):
    key = "larger-others"
    work = (
        "larger than memory (cgroup limit of 4 GiB, file of 12 GiB, cold): `verify`, `decrypt` in place, and out of place both ways, against "
        "`cp` + `sync`, `encrypt` and reading alone"
    )
    method = (
        "All in the same cgroup, without options but `-o`; all that writes is durable. Reading alone is `fio --rw=read`, O_DIRECT, 1 MiB, depth 16. `decrypt` in place "
        "authenticates the whole file first, so it reads it twice. No bar is set for these."
    )

    def disk_bytes(self, context):
        return 2 * context.size(12 << 30) + (64 << 20)

    def measure_within(self, context, measured, length, cgroup):
        file = InPlaceFile(context.workspace, "large.bin", length)
        out = context.workspace.path("out.bin")
        digest = sha256(file.path)

        def plain():
            file.reset_cold()

        def sealed():
            if not file.sealed.exists():
                plain()
                run(context.encrypt_in_place(file.path))
            context.workspace.settle()
            make_cold(file.sealed)

        def timed(prepare, command):
            prepare()
            return run(command, cgroup=cgroup).seconds

        def encrypt():
            return {"encrypt": timed(plain, context.encrypt_in_place(file.path))}

        def verify():
            return {"verify": timed(sealed, context.verify(file.sealed))}

        def decrypt_to():
            seconds = timed(sealed, context.decrypt(file.sealed, "-o", out))
            if not measured.checks:
                if sha256(out) != digest:
                    raise NotRun("decrypt -o did not bring the same bytes back")
                measured.checks.append("encrypt in place, then decrypt -o: the same SHA-256; `verify` and `decrypt` authenticate all of it in every round")
            out.unlink()
            return {"decrypt -o": seconds}

        def decrypt():
            return {"decrypt": timed(sealed, context.decrypt(file.sealed))}

        def encrypt_to():
            seconds = timed(plain, context.encrypt(file.path, "-o", out))
            out.unlink()
            return {"encrypt -o": seconds}

        def cp():
            seconds = timed(plain, copy_and_sync(file.path, out))
            out.unlink()
            return {"cp + sync": seconds}

        def read():
            return {"reading alone": timed(plain, read_command(context.tools.peer("fio"), file.path, length))}

        steps = [
            Step("encrypt", ["encrypt"], encrypt),
            Step("verify", ["verify"], verify),
            Step("decrypt -o", ["decrypt -o"], decrypt_to),
            Step("decrypt", ["decrypt"], decrypt),
            Step("encrypt -o", ["encrypt -o"], encrypt_to),
            Step("cp", ["cp + sync"], cp),
            Step("read", ["reading alone"], read),
        ]
        return alternate(context, measured, steps, rotate=False)

    def figures(self, row):
        return [
            ratio(row, "verify's rate, as a share of reading's alone", "reading alone", "verify", "at least", None),
            share(row, "decrypt, share of encrypt's time", "decrypt", "encrypt", None),
            share(row, "encrypt -o, share of the time of cp + sync", "encrypt -o", "cp + sync", None),
            share(row, "decrypt -o, share of the time of cp + sync", "decrypt -o", "cp + sync", None),
        ]


def read_command(fio, path, length):
    return [
        fio,
        "--name=read",
        f"--filename={path}",
        "--rw=read",
        "--direct=1",
        "--bs=1M",
        "--ioengine=io_uring",
        "--iodepth=16",
        f"--size={length}",
        "--thread",
        "--output-format=terse",
    ]

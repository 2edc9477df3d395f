"""Into another file: against age, rage, openssl and gpg, both directions."""

import secrets

from bars import faster
from errors import NotRun
from files import make_cached, make_random_file, read_in, sha256, warm_free_memory
from processes import run
from rounds import Measured, Step, alternate

BARS = {"age": 2.5, "rage": 3, "openssl": 2.5, "gpg": 8}
DIRECTIONS = ("encrypt", "decrypt")
DURABLE, QUICK, FLOOR = "pageseal", "pageseal to stdout", "dd"


class OutOfPlace:
    key = "out-of-place"
    work = "out of place 1 GiB cached, against `age`, `rage`, `openssl enc -aes-256-ctr`, `gpg`, both directions"
    method = (
        "No peer makes its result durable, and `pageseal -o OUT` always does. So each is timed twice, and like is compared with like: *durable* is the peer and a "
        "`sync` of its output against `pageseal -o OUT`; *not durable* is the peer as it comes against `pageseal -o - > OUT` (decrypt with `--no-verify-first`, for no peer looks at the whole input before it writes). The third figure, the peer as it comes "
        "against the durable `pageseal -o OUT`, has no bar. The fourth, *over an output that is there*, is about the programs alone: both write to their standard output, which is a file of that length in the page cache "
        "already, so that what the kernel needs for a new file's pages is not part of it. dd, which copies and does nothing else, is the floor. openssl does not authenticate. gpg runs without compression and with the cheapest key derivation."
    )

    def disk_bytes(self, context):
        return 4 * context.size(1 << 30)

    def measure(self, context):
        length = context.size(1 << 30)
        measured = Measured(facts={"bytes": length})
        workspace = context.workspace
        plain = workspace.path("plain.bin")
        make_random_file(plain, length)
        digest = sha256(plain)
        home = workspace.path("gnupg")
        home.mkdir(mode=0o700, exist_ok=True)
        try:
            steps = [self._step(context, measured, plain, digest, name, home) for name in CONTENDERS]
            alternate(context, measured, steps)
        finally:
            stop_gpg_agent(context, home)
        return measured

    def _step(self, context, measured, plain, digest, name, home):
        sealed, opened = context.workspace.path("sealed.bin"), context.workspace.path("opened.bin")
        checked = set()

        def timed(command, source, target, to_stdout):
            target.unlink(missing_ok=True)
            context.workspace.settle()
            read_in(source)
            warm_free_memory(context.workspace, source.stat().st_size)
            environment = {"GNUPGHOME": str(home)}
            seconds = run(command, stdout=target if to_stdout else None, environment=environment).seconds
            return seconds, seconds + run(["sync", target]).seconds

        def timed_over(command, source, target):
            context.workspace.settle()
            read_in(source)
            make_cached(target)
            return run(command, stdout_over=target, environment={"GNUPGHOME": str(home)}).seconds

        def action():
            found = {}
            contender = CONTENDERS[name](context)
            try:
                for direction, source, target in (("encrypt", plain, sealed), ("decrypt", sealed, opened)):
                    command, to_stdout = contender[direction](source, target)
                    seconds, synced = timed(command, source, target, to_stdout)
                    found[f"{name} {direction}"] = seconds
                    found[f"{name} {direction}, synced"] = synced
                    if name != DURABLE:
                        command, _ = contender[direction](source, "-")
                        found[f"{name} {direction}, over"] = timed_over(command, source, target)
                if name not in checked:
                    if sha256(opened) != digest:
                        raise NotRun(f"{name} did not bring the same bytes back")
                    checked.add(name)
                    measured.checks.append(f"{name}: encrypt, then decrypt: the same SHA-256")
            finally:
                sealed.unlink(missing_ok=True)
                opened.unlink(missing_ok=True)
            return found

        ends = ("", ", synced") if name == DURABLE else ("", ", synced", ", over")
        series = [f"{name} {direction}{end}" for direction in DIRECTIONS for end in ends]
        return Step(name, series, action)

    def figures(self, row):
        found = []
        for peer, bound in BARS.items():
            for direction in DIRECTIONS:
                theirs, synced = f"{peer} {direction}", f"{peer} {direction}, synced"
                durable, quick = f"{DURABLE} {direction}", f"{QUICK} {direction}"
                name = f"{peer}, {direction}, times faster"
                found.append(faster(row, f"{name}, durable", synced, durable, bound))
                found.append(faster(row, f"{name}, not durable", theirs, quick, bound))
                found.append(faster(row, f"{name}, pageseal alone durable", theirs, durable, None))
                found.append(faster(row, f"{name}, over an output that is there", f"{theirs}, over", f"{quick}, over", bound))
            for direction in DIRECTIONS:
                name = f"{peer}, {direction}, times faster: the floor"
                found.append(faster(row, f"{name}, durable", f"{peer} {direction}, synced", f"{FLOOR} {direction}, synced", None))
                found.append(faster(row, f"{name}, not durable", f"{peer} {direction}", f"{FLOOR} {direction}", None))
        return found


def pageseal(context):
    return {
        "encrypt": lambda source, target: (context.encrypt(source, "-o", target), False),
        "decrypt": lambda source, target: (context.decrypt(source, "-o", target), False),
    }


def pageseal_to_stdout(context):
    return {
        "encrypt": lambda source, _: (context.encrypt(source, "-o", "-"), True),
        # The peers write what they have authenticated so far, too, and do not look at all of it first.
        "decrypt": lambda source, _: (context.decrypt(source, "-o", "-", "--no-verify-first"), True),
    }


def dd(_):
    """The ciphertext is the plaintext."""

    def copy(source, target):
        command = ["dd", f"if={source}", "bs=1M", "status=none"]
        return command if target == "-" else [*command, f"of={target}"], False

    return {direction: copy for direction in DIRECTIONS}


def age_like(program):
    def contender(context):
        peer = context.tools.peer(program)
        return {
            "encrypt": lambda source, target: ([peer, "-r", context.recipient, "-o", target, source], False),
            "decrypt": lambda source, target: ([peer, "-d", "-i", context.identity, "-o", target, source], False),
        }

    return contender


def openssl(context):
    key, counter = secrets.token_hex(32), secrets.token_hex(16)
    base = [context.tools.peer("openssl"), "enc", "-aes-256-ctr", "-nosalt", "-K", key, "-iv", counter]

    def into(target):
        return [] if target == "-" else ["-out", target]

    return {
        "encrypt": lambda source, target: ([*base, "-in", source, *into(target)], False),
        "decrypt": lambda source, target: ([*base, "-d", "-in", source, *into(target)], False),
    }


def gpg(context):
    passphrase = context.workspace.path("gpg-passphrase.txt")
    passphrase.write_text("of no value\n")
    base = [context.tools.peer("gpg"), "--batch", "--quiet", "--no-options", "--pinentry-mode", "loopback"]
    base += ["--passphrase-file", passphrase, "--compress-algo", "none", "--cipher-algo", "AES256", "--s2k-count", "1024"]
    return {
        "encrypt": lambda source, target: ([*base, "-o", target, "--symmetric", source], False),
        "decrypt": lambda source, target: ([*base, "-o", target, "--decrypt", source], False),
    }


def stop_gpg_agent(context, home):
    """gpg starts an agent for its folder, which would outlive the run."""
    try:
        context.tools.peer("gpg")
        run(["gpgconf", "--homedir", home, "--kill", "all"])
    except NotRun:
        pass


CONTENDERS = {
    DURABLE: pageseal,
    QUICK: pageseal_to_stdout,
    FLOOR: dd,
    "age": age_like("age"),
    "rage": age_like("rage"),
    "openssl": openssl,
    "gpg": gpg,
}

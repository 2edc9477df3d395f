"""The peers, the helpers and the product: finding, installing and building them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from errors import BenchError, NotRun

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = REPOSITORY / "target" / "bench-peers"
HELPERS = BUILT / "helpers"
# Pinned, so that two runs compare with the same program.
RAGE_VERSION = "0.12.1"
MATPLOTLIB_VERSION = "3.9.4"

# command: (package of apt, arguments that print its version)
APT_PEERS = {
    "age": ("age", ["--version"]),
    "openssl": ("openssl", ["version"]),
    "gpg": ("gnupg", ["--version"]),
    "cryptsetup": ("cryptsetup-bin", ["--version"]),
    "fio": ("fio", ["--version"]),
    "gcc": ("gcc", ["--version"]),
    # What the textbook's program is compiled by, pinned in its Makefile.
    "gcc-12": ("gcc-12", ["--version"]),
    "make": ("make", ["--version"]),
    "cp": ("coreutils", ["--version"]),
    "dd": ("coreutils", ["--version"]),
}


def log(text):
    print(text, file=sys.stderr, flush=True)


class Tools:
    """Where the programs are. `peer` raises NotRun for one that is not there, with the reason."""

    def __init__(self, pageseal, commit):
        self.pageseal = pageseal
        self.commit = commit
        self._missing = {}

    def peer(self, name):
        if name in self._missing:
            raise NotRun(self._missing[name])
        found = shutil.which(name, path=f"{BUILT / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
        if not found:
            raise NotRun(f"{name} is not installed")
        return found

    def helper(self, name):
        path = HELPERS / name
        if not path.exists():
            raise NotRun(f"the helper {name} could not be built")
        return path

    def versions(self):
        """First line of what each program says about itself; programs that are missing are left out."""
        result = {"pageseal": first_line([self.pageseal, "--version"])}
        for name, (_, arguments) in {**APT_PEERS, "rage": (None, ["--version"])}.items():
            try:
                result[name] = first_line([self.peer(name), *arguments])
            except NotRun:
                pass
        return result

    def pageseal_sha256(self):
        with open(self.pageseal, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def miss(self, name, reason):
        log(f"note: {name}: {reason}")
        self._missing[name] = reason


def first_line(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def prepare(arguments):
    """Installs the peers, builds the helpers and the product, unless told not to."""
    tools = Tools(*find_product(arguments))
    if arguments.install:
        install_from_apt(tools)
        install_rage(tools)
    build_helpers(tools)
    return tools


def find_product(arguments):
    if arguments.pageseal:
        path = Path(arguments.pageseal).resolve()
        if not os.access(path, os.X_OK):
            raise BenchError(f"{path} is no program; build it with: cargo build --release -p pageseal-cli")
        return path, arguments.commit or "not said"
    log("building pageseal")
    command = ["cargo", "build", "--release", "--locked", "-p", "pageseal-cli"]
    if subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr).returncode != 0:
        raise BenchError("pageseal could not be built")
    return REPOSITORY / "target" / "release" / "pageseal", arguments.commit or git_commit()


def git_commit():
    """The commit, and whether what lies here is another program than that."""
    git = ["git", "-C", str(REPOSITORY)]
    commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout.strip()
    sources = ["crates", "Cargo.toml", "Cargo.lock"]
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *sources]).returncode != 0
    return (commit or "unknown") + (" with changes" if changed else "")


def install_from_apt(tools):
    wanted = {package for name, (package, _) in APT_PEERS.items() if not shutil.which(name)}
    if not wanted:
        return
    log(f"installing {' '.join(sorted(wanted))}")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *sorted(wanted)]):
        try:
            code = subprocess.run([*prefix, *command], env=environment, stdout=sys.stderr).returncode
        except FileNotFoundError:
            code = -1
        if code != 0:
            log(f"note: {' '.join(command)} failed; rows that need these programs are not run")
            return


def install_rage(tools):
    try:
        if RAGE_VERSION in first_line([tools.peer("rage"), "--version"]):
            return
    except NotRun:
        pass
    log(f"installing rage {RAGE_VERSION}")
    command = ["cargo", "install", "rage", "--version", RAGE_VERSION, "--locked", "--root", str(BUILT)]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        tools.miss("rage", f"rage {RAGE_VERSION} could not be installed")


def build_helpers(tools):
    for folder in ("textbook", "helpers"):
        if subprocess.run(["make", "-s", "-C", REPOSITORY / "bench" / folder], stdout=sys.stderr).returncode != 0:
            log(f"note: bench/{folder} could not be built; rows that need it are not run")


def cipher_rates(pageseal, threads):
    """GB/s of each work in memory with so many threads, as `pageseal bench cipher` says."""
    command = [str(pageseal), "bench", "cipher", "--json", "-q", "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    report = parse_json(done.stdout, "pageseal bench cipher")
    return {rate["work"]: rate["gb_per_s"] for rate in report["cipher"]["rates"] if rate["threads"] == threads}


def native_pageseal():
    """The product once more, compiled for this very processor."""
    log("building pageseal for this processor")
    target = BUILT / "native"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "pageseal-cli", "--target-dir", str(target)]
    environment = {**os.environ, "RUSTFLAGS": "-C target-cpu=native", "CFLAGS": "-march=native"}
    if subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=sys.stderr).returncode != 0:
        raise NotRun("pageseal could not be built for this processor")
    return target / "release" / "pageseal"


def plot_python():
    """An interpreter with matplotlib, in a virtual environment of this script's own."""
    folder = BUILT / "plot-venv"
    python = folder / "bin" / "python"
    if python.exists() and subprocess.run([str(python), "-c", "import matplotlib"], capture_output=True).returncode == 0:
        return python
    log(f"installing matplotlib {MATPLOTLIB_VERSION} for the plot")
    for command in (
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"matplotlib=={MATPLOTLIB_VERSION}"],
    ):
        if subprocess.run([str(part) for part in command], stdout=sys.stderr).returncode != 0:
            raise BenchError("matplotlib could not be installed; the report can be had without its plot: --no-plot")
    return python


def parse_json(text, what):
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotRun(f"{what} printed no JSON: {text[:200]}") from error

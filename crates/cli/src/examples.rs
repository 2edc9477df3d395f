//! What `--help` shows behind the options: examples, and what a script must know.

/// `pageseal --help`
pub const ROOT: &str = "\
Examples:
  pageseal keygen -o key.txt                  make an identity; prints its public key
  pageseal encrypt -r age1... video.mkv       video.mkv becomes video.mkv.sealed
  pageseal decrypt -i key.txt video.mkv.sealed
  pageseal encrypt -p backup.img              with a passphrase, asked twice
  pageseal resume video.mkv                   go on after Ctrl-C, a crash or power loss
  pageseal rollback video.mkv                 undo instead

Exit codes:
  0 done    1 failed or refused    2 wrong usage    3 no key fits
  4 damaged or tampered with       5 interrupted, can be resumed
  Of several files the gravest counts: 4, then 3, 5, 1, 2, 0.

In place is not secure erase: SSD remapping, copy-on-write file systems, snapshots,
swap and backups may keep the old plaintext.";

/// `pageseal keygen --help`
pub const KEYGEN: &str = "\
Examples:
  pageseal keygen -o key.txt                  writes key.txt (mode 0600), prints the public key
  recipient=$(pageseal keygen -q -o key.txt)
  pageseal encrypt -r \"$recipient\" video.mkv

The file is an age identity: `age` and `rage` read it, and pageseal reads theirs.
Whoever loses it loses everything sealed for it.";

/// `pageseal encrypt --help`
pub const ENCRYPT: &str = "\
Examples:
  pageseal encrypt -r age1... video.mkv       in place; ends as video.mkv.sealed
  pageseal encrypt -R team.txt -p a.img b.img for a team, and a passphrase besides
  pageseal encrypt -r age1... --keep-name db.log
  pageseal encrypt -r age1... -o copy.sealed video.mkv
  tar c dir | pageseal encrypt -r age1... -o dir.tar.sealed -

Stopped by Ctrl-C, a crash or power loss? `pageseal resume FILE` goes on and
`pageseal rollback FILE` undoes; until then keep FILE.pageseal-journal.";

/// `pageseal decrypt --help`
pub const DECRYPT: &str = "\
Examples:
  pageseal decrypt -i key.txt video.mkv.sealed        in place; ends as video.mkv
  pageseal decrypt video.mkv.sealed                   asks for the passphrase
  pageseal decrypt -i key.txt -o video.mkv video.mkv.sealed
  pageseal decrypt -i key.txt -o - dir.tar.sealed | tar x

Every chunk is verified before the first byte changes, so a damaged file is refused
as it is. Without -i and --passphrase-file the passphrase is asked on the terminal.";

/// `pageseal verify --help`
pub const VERIFY: &str = "\
Examples:
  pageseal verify -i key.txt video.mkv.sealed
  pageseal verify -i key.txt --json *.sealed | jq -c 'select(.ok | not)'

Exit code 4 says that a byte was changed, and the message says where.
A replay of the whole file by an older sealed version of it cannot be noticed.";

/// `pageseal info --help`
pub const INFO: &str = "\
Examples:
  pageseal info video.mkv.sealed
  pageseal info --json * | jq -r 'select(.state == \"encrypting\") | .file'

Nothing is decrypted and no key is needed; hence nothing shown is authenticated.
Exit code 0 whatever the state, 4 if the metadata is damaged, 1 if it cannot be read.";

/// `pageseal resume --help`
pub const RESUME: &str = "\
Examples:
  pageseal resume video.mkv                   an encrypt, soon after Ctrl-C: no key needed
  pageseal resume -i key.txt video.mkv        after power loss the job key is gone
  pageseal resume --decrypt -i key.txt video.mkv.sealed

FILE is the name with or without .sealed. A decrypt goes on only with --decrypt:
a forged journal must not turn a sealed file into plaintext.";

/// `pageseal rollback --help`
pub const ROLLBACK: &str = "\
Examples:
  pageseal rollback video.mkv                 the file becomes what it was, bit for bit
  pageseal rollback -i key.txt video.mkv      after power loss the job key is gone

A rollback that is interrupted can only be finished, with `pageseal rollback` again.";

/// `pageseal trailer --help`
pub const TRAILER: &str = "\
Examples:
  pageseal trailer export -o video.trailer video.mkv.sealed
  pageseal trailer import -i key.txt --from video.trailer video.mkv.sealed

The trailer holds the key slots and the tag of every chunk. A sealed file without
it is lost, so a copy of it is a cheap insurance against a cut or overwritten end.";

/// `pageseal demo --help`
pub const DEMO: &str = "\
Examples:
  pageseal demo
  pageseal demo --size 1GiB --threads 8 --json

Makes a file of 'A's, maps it shared, lets each thread XOR its part with 0xAA in the
mapping itself, and checks that every byte became 0xEB; then does the same with
authenticated encryption. Shows time, page faults and memory, and removes the files.";

/// `pageseal bench --help`
pub const BENCH: &str = "\
Examples:
  pageseal bench                              everything, in the current folder
  pageseal bench --report bench.html          with charts, to open in a browser
  pageseal bench cipher --threads 1
  pageseal bench io --size 1GiB /mnt/disk

Measures this machine and says which way to a file is the fastest here, and which step
of a whole job takes the time. Rates are in GB/s (10^9 bytes a second). Other work at
the same time is in the figures.";

/// `pageseal bench cipher --help`
pub const BENCH_CIPHER: &str = "\
Examples:
  pageseal bench cipher
  pageseal bench cipher --json | jq '.cipher.rates[] | select(.threads == 1)'";

/// `pageseal bench io --help`
pub const BENCH_IO: &str = "\
Examples:
  pageseal bench io                           a temporary file in the current folder
  pageseal bench io --size 4GiB /mnt/disk     in that folder
  pageseal bench io video.mkv                 reads the file and changes nothing

The temporary file has no name and vanishes however the command ends. Figures in the
page cache say what the ways cost; those past it or not cached are the disk's own. In
a folder another such file is encrypted in place, as `pageseal encrypt` does it, and
each step of that job is measured.";

/// `pageseal completions --help`
pub const COMPLETIONS: &str = "\
Examples:
  pageseal completions bash > ~/.local/share/bash-completion/completions/pageseal
  pageseal completions zsh  > \"${fpath[1]}/_pageseal\"
  pageseal completions fish > ~/.config/fish/completions/pageseal.fish";

/// `pageseal man --help`
pub const MAN: &str = "\
Examples:
  pageseal man | man -l -
  pageseal man --dir ~/.local/share/man/man1  one page for every command";

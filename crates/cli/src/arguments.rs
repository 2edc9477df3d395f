//! The command line. What is stated here is what `--help`, the man pages and the completions show.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::examples;
use crate::size::{parse_chunk_size, parse_size};

const KEYS: &str = "Keys";
const PLACE: &str = "Where the result goes";
const METHOD: &str = "How it is done";
const SAFETY: &str = "What is risked";

/// Encrypt huge files in place: authenticated, on all cores, safe against crash and power loss
#[derive(Debug, Parser)]
#[command(name = "pageseal", version, after_help = examples::ROOT, max_term_width = 100)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Arguments {
    /// Print errors only: no progress bar, no result lines, no notes
    #[arg(short, long, global = true, display_order = 900)]
    pub quiet: bool,
    /// Also say how a job goes about it, and why so
    #[arg(short, long, global = true, display_order = 899, conflicts_with = "quiet")]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an identity: a secret key file, and the public key to seal files for
    #[command(after_help = examples::KEYGEN)]
    Keygen(KeygenArguments),
    /// Seal files in place, or into another file or a pipe
    #[command(after_help = examples::ENCRYPT)]
    Encrypt(EncryptArguments),
    /// Open sealed files in place, or into another file or a pipe
    #[command(after_help = examples::DECRYPT)]
    Decrypt(DecryptArguments),
    /// Authenticate every byte of sealed files; changes nothing
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArguments),
    /// Show what a file is; needs no key
    #[command(after_help = examples::INFO)]
    Info(InfoArguments),
    /// Go on with an interrupted encrypt or decrypt
    #[command(after_help = examples::RESUME)]
    Resume(ResumeArguments),
    /// Undo an interrupted encrypt or decrypt
    #[command(after_help = examples::ROLLBACK)]
    Rollback(RollbackArguments),
    /// Keep or put back the metadata of a sealed file
    #[command(after_help = examples::TRAILER)]
    Trailer(TrailerArguments),
    /// Show what mmap with threads does: the textbook exercise, timed and checked
    #[command(after_help = examples::DEMO)]
    Demo(DemoArguments),
    /// Measure the ciphers of this processor and the ways to a file on this disk
    #[command(after_help = examples::BENCH)]
    Bench(BenchArguments),
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArguments),
    /// Print the manual page, or write all of them
    #[command(after_help = examples::MAN)]
    Man(ManArguments),
}

/// `keygen`
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// Write the identity to FILE (mode 0600), which must not exist; else to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `encrypt`
#[derive(Clone, Debug, Args)]
pub struct EncryptArguments {
    /// Seal for this public key (age1...); can be repeated
    #[arg(help_heading = KEYS, short, long = "recipient", value_name = "RECIPIENT")]
    pub recipients: Vec<String>,
    /// Seal for every public key in FILE, one a line; can be repeated
    #[arg(help_heading = KEYS, short = 'R', long = "recipients-file", value_name = "FILE")]
    pub recipients_files: Vec<PathBuf>,
    /// Seal with a passphrase, asked twice on the terminal
    #[arg(help_heading = KEYS, short, long, conflicts_with = "passphrase_file")]
    pub passphrase: bool,
    /// Seal with the passphrase in FILE; one newline at its end is not part of it
    #[arg(help_heading = KEYS, long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub conversion: ConversionArguments,
    /// AEAD [default: the fastest for this processor]
    #[arg(help_heading = METHOD, long, value_enum, value_name = "SUITE")]
    pub suite: Option<SuiteName>,
    /// Unit of authentication: a power of two, 64KiB to 1MiB
    #[arg(help_heading = METHOD, long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_chunk_size)]
    pub chunk_size: u64,
    /// Where the key lies that lets `resume` and `rollback` run without an identity
    #[arg(help_heading = SAFETY, long, value_enum, value_name = "PLACE", default_value = "runtime", conflicts_with = "output")]
    pub job_key: JobKey,
    /// Go on although less than 90 % of the file is allocated; decrypt brings the holes back
    #[arg(help_heading = SAFETY, long, conflicts_with = "output")]
    pub allow_sparse: bool,
}

/// `decrypt`
#[derive(Debug, Args)]
pub struct DecryptArguments {
    #[command(flatten)]
    pub keys: KeyArguments,
    #[command(flatten)]
    pub conversion: ConversionArguments,
    /// Do not authenticate every chunk before the first byte changes
    #[arg(help_heading = SAFETY, long)]
    pub no_verify_first: bool,
}

/// What encrypt and decrypt share.
#[derive(Clone, Debug, Args)]
pub struct ConversionArguments {
    /// Leave FILE alone and write the result to OUT, which must not exist; `-` is standard output
    #[arg(help_heading = PLACE, short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// With -o: give OUT owner, permissions, times and extended attributes of FILE, but never set-id bits
    #[arg(help_heading = PLACE, long, requires = "output")]
    pub preserve: bool,
    /// Leave the name as it is: neither append nor take off `.sealed`
    #[arg(help_heading = PLACE, long, conflicts_with = "output")]
    pub keep_name: bool,
    /// How bytes are stored
    #[arg(help_heading = METHOD, long, value_enum, value_name = "STORE", default_value = "auto", conflicts_with = "output")]
    pub io: Io,
    /// What the job survives
    #[arg(help_heading = SAFETY, long, value_enum, value_name = "MODE", default_value = "auto", conflicts_with = "output")]
    pub resilience: Resilience,
    /// The word that `--resilience none` needs: an interruption destroys data
    #[arg(help_heading = SAFETY, long, conflicts_with = "output")]
    pub accept_data_loss: bool,
    /// Go on although the file has other hard links; all of them show the new content
    #[arg(help_heading = SAFETY, long, conflicts_with = "output")]
    pub allow_links: bool,
    /// Keep the journal at PATH instead of beside the file
    #[arg(help_heading = SAFETY, long, value_name = "PATH", conflicts_with = "output")]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub run: RunArguments,
    /// The files, one after another; `-` is standard input (needs -o)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    pub keys: KeyArguments,
    #[command(flatten)]
    pub run: RunArguments,
    /// The sealed files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// `info`
#[derive(Debug, Args)]
pub struct InfoArguments {
    /// Also show how a plain file would be sealed now, and why so
    #[arg(long)]
    pub plan: bool,
    /// The journal, if it does not lie beside the file
    #[arg(long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
    /// Print one JSON object per file
    #[arg(long, display_order = 800)]
    pub json: bool,
    /// The files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// `resume`
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// The interrupted job is a decrypt and shall go on to plaintext
    #[arg(long)]
    pub decrypt: bool,
    #[command(flatten)]
    pub continuation: ContinuationArguments,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    #[command(flatten)]
    pub continuation: ContinuationArguments,
}

/// What resume and rollback share.
#[derive(Debug, Args)]
pub struct ContinuationArguments {
    #[command(flatten)]
    pub keys: KeyArguments,
    /// How bytes are stored; must suit the resilience that the job was started with
    #[arg(help_heading = METHOD, long, value_enum, value_name = "STORE", default_value = "auto")]
    pub io: Io,
    /// The journal, if it does not lie beside the file
    #[arg(help_heading = SAFETY, long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
    /// Go on although chunks are damaged or changed, and no backup and no other journal has them
    #[arg(help_heading = SAFETY, long)]
    pub accept_damage: bool,
    #[command(flatten)]
    pub run: RunArguments,
    /// The file, by its name with or without `.sealed`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `trailer`
#[derive(Debug, Args)]
pub struct TrailerArguments {
    /// Which way.
    #[command(subcommand)]
    pub command: TrailerCommand,
}

/// `trailer export|import`
#[derive(Debug, Subcommand)]
pub enum TrailerCommand {
    /// Copy the trailer of a sealed file into a file of its own
    Export(TrailerExportArguments),
    /// Put an exported trailer back behind the data it was taken from
    Import(TrailerImportArguments),
}

/// `trailer export`
#[derive(Debug, Args)]
pub struct TrailerExportArguments {
    /// Where to write it; must not exist
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `trailer import`
#[derive(Debug, Args)]
pub struct TrailerImportArguments {
    #[command(flatten)]
    pub keys: KeyArguments,
    /// The exported trailer
    #[arg(long, value_name = "TRAILER")]
    pub from: PathBuf,
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Size of the file
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub size: u64,
    /// Worker threads
    #[arg(long, value_name = "N", default_value = "4", value_parser = threads_parser())]
    pub threads: usize,
    /// Folder to make the file in [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Leave the file there at the end
    #[arg(long)]
    pub keep: bool,
    /// Print one JSON object
    #[arg(long, display_order = 800)]
    pub json: bool,
}

/// `bench`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArguments {
    /// Which part; both without.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// Largest size of the file that is measured, in the current folder
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    pub size: u64,
    #[command(flatten)]
    pub output: BenchOutputArguments,
}

/// `bench cipher|io`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The suites, fingerprints, XOR and memcpy in memory
    #[command(after_help = examples::BENCH_CIPHER)]
    Cipher(BenchCipherArguments),
    /// A file by mmap, by read and write, and past the page cache; and a whole job in a folder
    #[command(after_help = examples::BENCH_IO)]
    Io(BenchIoArguments),
}

/// `bench cipher`
#[derive(Debug, Args)]
pub struct BenchCipherArguments {
    #[command(flatten)]
    pub output: BenchOutputArguments,
}

/// `bench io`
#[derive(Debug, Args)]
pub struct BenchIoArguments {
    /// Largest size that is measured, at least 1MiB
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    pub size: u64,
    #[command(flatten)]
    pub output: BenchOutputArguments,
    /// A folder, for a temporary file in it; or a file, which is only read [default: the current
    /// folder]
    #[arg(value_name = "FILE|DIR")]
    pub path: Option<PathBuf>,
}

/// What the parts of `bench` share.
#[derive(Debug, Args)]
pub struct BenchOutputArguments {
    /// The most threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads_parser())]
    pub threads: Option<usize>,
    /// Also write the figures, with charts, into FILE, which must not exist: one page that needs no
    /// network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, display_order = 800)]
    pub json: bool,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Write one page for every command into DIR
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Which keys to try.
#[derive(Clone, Debug, Args)]
pub struct KeyArguments {
    /// Try the identities in FILE (of keygen, age or a plugin); can be repeated
    #[arg(help_heading = KEYS, short, long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Try the passphrase in FILE; one newline at its end is not part of it
    #[arg(help_heading = KEYS, long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// How a run works and reports.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Worker threads [default: all cores]
    #[arg(help_heading = METHOD, long, value_name = "N", value_parser = threads_parser())]
    pub threads: Option<usize>,
    /// Print one JSON object per file
    #[arg(long, display_order = 800)]
    pub json: bool,
}

fn threads_parser() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

/// `--io`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// The best sound store for the file and its file system
    Auto,
    /// In a shared mapping; with `none` without any copy, and not with `checksum`
    Mmap,
    /// Through a private buffer, whole blocks at a time
    Buffered,
    /// Past the page cache, for files that do not fit into memory or are not in it
    Direct,
}

/// `--resilience`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resilience {
    /// `checksum` where the file system makes it sound, else `journal`
    Auto,
    /// Power loss: fingerprints of the old content in the journal
    Checksum,
    /// Power loss: whole windows in the journal; about twice the writing
    Journal,
    /// SIGKILL, but not power loss
    Process,
    /// Nothing: an interruption destroys data (needs --accept-data-loss)
    None,
}

/// `--job-key`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobKey {
    /// In memory (tmpfs): gone after power loss
    Runtime,
    /// In the journal, on disk: flash may keep it after it is wiped
    Disk,
    /// Nowhere: resuming needs an identity or the passphrase
    None,
}

/// `--suite`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// Fastest where the processor has AES instructions
    #[value(name = "aegis-256x2")]
    Aegis256X2,
    /// AES-256-GCM with long nonces
    #[value(name = "xaes-256-gcm")]
    Xaes256Gcm,
    /// Fast without AES instructions
    #[value(name = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use pageseal::Suite;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn suite_names_are_the_librarys() {
        let ours: Vec<_> = SuiteName::value_variants()
            .iter()
            .filter_map(|suite| suite.to_possible_value())
            .map(|value| value.get_name().to_owned())
            .collect();
        assert_eq!(ours, Suite::ALL.map(Suite::name));
    }

    #[test]
    fn secrets_have_no_place_on_the_command_line() {
        // `-p` is a switch: a value behind it must be taken for a file, never for a passphrase.
        let arguments = Arguments::try_parse_from(["pageseal", "encrypt", "-p", "word"]).unwrap();
        let Command::Encrypt(encrypt) = arguments.command else {
            panic!("another command");
        };
        assert_eq!(encrypt.conversion.files, [PathBuf::from("word")]);
        assert!(Arguments::try_parse_from(["pageseal", "encrypt", "--passphrase=word", "f"]).is_err());
    }
}

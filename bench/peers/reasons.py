"""Why a bar is missed, by row and the beginning of the figure's name, as found out by looking (perf, strace). Printed only for
figures that the results say are missed, so a reason that is no longer needed does no harm; it goes when its cause goes."""

REASONS = {
    ("textbook", ""): "the product is as fast as the floor of this row, a XOR with vector instructions and nothing else: what is left is the way of 64 MiB from memory and back. "
    "The textbook's loop takes 9 to 26 ms here, by the run and by the day; against the slow ones the bars are met",
    ("mmap", "rate, as a share of the XOR's"): "each byte goes three ways, the XOR's goes one: into private memory, where it is fingerprinted and sealed; past the comparison in the mapping, "
    "which finds who else writes to the file; and as ciphertext into the mapping. Of the processor's time (0.8 s for 2 GiB) fingerprints take 21 %, storing 16 %, AEGIS 11 %, copying out 9 %; bringing in the pages, all that the XOR does besides, 17 %. A job with `none`, which seals in the mapping itself and protects nothing, reaches 0.50. Wider stores, "
    "larger windows, larger steps, more threads and stages in turn instead of at once were tried, and none was faster. In single pages, where bringing them in takes most of both times, the bar is met",
    ("out-of-place", "gpg, decrypt"): "gpg decrypts twice as fast as it encrypts, and the kernel's and the disk's work for a new file comes on top of both: dd, which copies and does nothing else, is "
    "not so much faster than gpg either (the floor). On this virtual machine that work differs from day to day; on some days one of the two figures was met. Over an output that is there the bar is met",
    ("out-of-place", ""): "what the kernel needs for the pages of a new file comes on top of every program's time, and weighs most where that is shortest. On this virtual "
    "machine it is large and differs from run to run: dd takes 0.23 to 3.0 s to write the same GiB from the page cache into a new file, all of it in the kernel's copy into fresh pages. "
    "The figures over an output that is there are without it",
    ("cached", "share of the time of cp + sync, single pages"): "dd, which writes the data once and does nothing else, has about the same share: what the kernel does for every single page sets it",
    ("decrypt", ""): "decrypt authenticates the whole file before it changes anything, and then has to write all of it: `verify` and dd (row `cached`), one after the other, take as long as the bar allows already. `verify` runs at the rate that reading and opening allow (row `verify`), "
    "and encrypt is about as fast as dd. What was tried to make the second pass cheaper is in `DESIGN.md`, section 10",
    ("dispatch", "rate, as a share of the native one's: aegis"): "a compiler that may use AVX-512VL makes one instruction (`vpternlogq`) of two XORs in the loop of libaegis, "
    "which opening waits for and sealing does not; libaegis chooses no such variant of AEGIS-256X2 at run time. It does not bound a job: reading into a tile takes longer than opening it",
    ("larger", "share of the time of cp"): "both read and write the file once, and the disk sets the pace: fio needs as long",
}


def reason_for(row_key, figure_name):
    found = [text for (key, start), text in REASONS.items() if key == row_key and figure_name.startswith(start)]
    return found[0] if found else "not looked into yet"

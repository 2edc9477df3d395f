"""Why a bar is missed, by row and the beginning of the figure's name, as found out by looking (perf, strace). Printed only for
figures that the results say are missed, so a reason that is no longer needed does no harm; it goes when its cause goes."""

REASONS = {
    ("textbook", ""): "the demonstration asks for all pages once more (MADV_POPULATE_WRITE) inside the timed part, although they are mapped and "
    "dirty; that alone took 1.2 to 1.7 ms of the 64 MiB, as long as the XOR itself",
    ("mmap", "rate"): "each byte goes three ways: read into a tile, fingerprinted, sealed and written to the journal; read again, checked, and "
    "sealed again; copied into the populated mapping. Populating takes about a third of the time, pread and pwrite another third",
    ("out-of-place", ""): "one thread reads and writes all bytes, and the workers only have the cipher between: copying into the page cache and out "
    "of it by that thread is 80 % of encrypt's time; decrypt also allocates and wipes a buffer a chunk; the sync of the whole output comes after "
    "the last write, not beside the work",
}


def reason_for(row_key, figure_name):
    found = [text for (key, start), text in REASONS.items() if key == row_key and figure_name.startswith(start)]
    return found[0] if found else "not looked into yet"

"""Why a bar is missed, by row and the beginning of the figure's name, as found out by looking (perf, strace). Printed only for
figures that the results say are missed, so a reason that is no longer needed does no harm; it goes when its cause goes."""

REASONS = {
    ("textbook", ""): "the floor of this row, a XOR with vector instructions and nothing else, is not so much faster either: what is left is the "
    "way of 64 MiB from memory and back, and how slow the textbook's loop is on this processor",
    ("mmap", "rate"): "each byte goes at least three ways: into private memory to be fingerprinted, sealed and written to the journal; past the "
    "comparison in the mapping; and as ciphertext into the mapping. A kill can stop the last step inside of a sector, which only a whole logged window "
    "makes good. Bringing in the pages takes a third of the time where they are small, as much as all of the XOR. The same job with `--io buffered`, whose "
    "stores end at page borders and need no such log, takes half of the time",
    ("larger", "share of the time of cp"): "both read and write the file once, and the disk sets the pace: fio needs as long",
}


def reason_for(row_key, figure_name):
    found = [text for (key, start), text in REASONS.items() if key == row_key and figure_name.startswith(start)]
    return found[0] if found else "not looked into yet"

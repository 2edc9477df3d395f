"""Why a bar is missed, by row and the beginning of the figure's name, as found out by looking (perf, strace). Printed only for
figures that the results say are missed, so a reason that is no longer needed does no harm; it goes when its cause goes."""

REASONS = {}


def reason_for(row_key, figure_name):
    found = [text for (key, start), text in REASONS.items() if key == row_key and figure_name.startswith(start)]
    return found[0] if found else "not looked into yet"

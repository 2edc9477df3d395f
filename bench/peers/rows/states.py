"""The states in which a file lies in the page cache: how it came there makes twice the difference in time."""

from rounds import Step

# What the names of contenders and figures end in, and whether the file lies in single pages.
PAGES = {"": False, ", single pages": True}


def in_both_states(file, name, work):
    """A contender that finds the file read in with readahead, and once more in single pages. `work` returns seconds."""

    def action():
        found = {}
        for state, small_pages in PAGES.items():
            file.reset_read_in(small_pages)
            found[name + state] = work()
        return found

    return Step(name, [name + state for state in PAGES], action)

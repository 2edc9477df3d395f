"""What can go wrong in a way that the one who runs this has to hear about."""


class BenchError(Exception):
    """Nothing can be measured; the message says what to do."""


class NotRun(Exception):
    """One row, or one contender of a row, cannot be run here. The message is the reason, and stands in the report."""

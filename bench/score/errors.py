class NothingToConclude(Exception):
    """The tables hold no comparison; the message says what is missing."""

"""A notebook that several people write in at once."""

__version__ = "version 1"

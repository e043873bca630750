__version__ = "version 1"

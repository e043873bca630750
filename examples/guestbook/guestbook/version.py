"""The version of the code: the one place that says it."""

VERSION = "1.0.0"

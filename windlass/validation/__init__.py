"""Checks of an inventory against the roles' specs: a mistake is a line with file, line and key."""

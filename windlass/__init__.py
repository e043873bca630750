"""Windlass: provision a Debian server, and release Python web apps onto it."""

"""The scheduled commands of an app, under systemd's timers."""

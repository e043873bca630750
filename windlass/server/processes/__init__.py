"""What runs: an app's processes and their commands, under Supervisor."""

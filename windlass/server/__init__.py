"""The program on the server that makes, switches and undoes releases. Standard library only."""

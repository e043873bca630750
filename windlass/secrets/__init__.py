"""The secrets of an inventory: made, changed and renewed in its vault, and counted up where servers make them."""

"""A built release becomes the live one, is watched, or is taken back."""

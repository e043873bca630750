"""The app's database: its migrations, copies from before them, and the ways back."""

"""What runs the server's processes: starts them, ends them, and leaves none behind."""

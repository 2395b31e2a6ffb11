"""One long-lived process for each node: it listens, and looks at once. Only speed rests on it."""

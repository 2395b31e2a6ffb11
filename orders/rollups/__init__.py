"""What is kept for charts and figures: the node's forwards, how things stood, and what each day came to."""

"""Many orders of mixed fates on real nodes, while the server's processes and the node are killed; then the books."""

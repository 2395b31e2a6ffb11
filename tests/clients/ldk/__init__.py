"""A wallet made of ldk-node, on the test network."""

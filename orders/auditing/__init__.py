"""The books are held against our own rows and against the node's wallet, to the satoshi."""

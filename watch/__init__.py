"""Whether all is well, and who is told when it is not. It looks at orders and changes none."""

"""One verb each. A money verb has three beats: intend (commit), act (the node), record (commit)."""

"""LSPS0 (bLIP-50): JSON-RPC in messages between two Lightning nodes. Each room knows one thing, and none knows a node."""

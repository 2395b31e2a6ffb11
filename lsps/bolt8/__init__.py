"""LSPS0 (bLIP-50): JSON-RPC in messages between two Lightning nodes. Nothing here knows who carries them."""

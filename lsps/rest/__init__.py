"""LSPS1 over HTTP, as wallets have come to speak it: bLIP-51's parameters and answers, without JSON-RPC around them."""

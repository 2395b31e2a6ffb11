"""LSPS1 (bLIP-51), by which wallets order channels: the words, and the doors that speak them."""

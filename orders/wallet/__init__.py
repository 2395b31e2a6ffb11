"""Our own transactions: their coins, their way into the chain, and how they are seen there."""

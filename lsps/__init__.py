"""The LSPS doors: what wallets that speak these protocols ask for, and are told. The orders are the same by each."""

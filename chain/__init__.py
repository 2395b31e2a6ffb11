"""Asking a Bitcoin node (Bitcoin Core or btcd) what LND's wallet does not show of a transaction in no block."""

"""Channels that open while their first payment is on its way (LSPS2): sold, and their payments gathered."""

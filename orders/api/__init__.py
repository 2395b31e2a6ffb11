"""The channel-request API: views parse, call one operation or query, and render."""

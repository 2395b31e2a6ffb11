"""Django's PostgreSQL backend, with sessions that are what we rest on."""

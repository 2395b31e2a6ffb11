"""How requests reach the application: whole ones only, so that no thread waits for a client."""

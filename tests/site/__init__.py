"""The site: configuration, processes, database."""

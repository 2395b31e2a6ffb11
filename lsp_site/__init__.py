"""The site: configuration, URLs, and how the processes are run."""

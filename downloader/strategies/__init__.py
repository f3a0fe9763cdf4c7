"""Where attempts run and how many at once: a file a mechanism."""

"""Pure decisions: nothing here reads a clock, a file, a socket or a random number."""

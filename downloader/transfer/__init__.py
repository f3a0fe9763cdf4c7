"""How the bytes of one attempt move, on one HTTP library each, into a part file."""

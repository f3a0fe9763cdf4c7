"""Small measured experiments for the claims, each in a fresh process of its own."""

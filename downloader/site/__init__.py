"""The embedded loopback site: deterministic files over real HTTP, without internet."""

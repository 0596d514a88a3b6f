"""One package for each framework, with the same files in each: what a `d2l.backend.Backend` is, and public classes."""

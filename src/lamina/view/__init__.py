"""Docker's JSON for engine objects, shared by all fronts."""

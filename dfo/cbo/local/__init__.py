"""Local methods between the runs of particles."""

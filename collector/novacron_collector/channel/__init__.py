"""Port 8441: all that agents do, known by their certificates."""

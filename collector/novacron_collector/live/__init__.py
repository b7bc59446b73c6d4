"""The live feed: what was just stored, to whoever asked for it."""

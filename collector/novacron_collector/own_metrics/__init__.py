"""What the collector reports of itself, through the same log and to the same store as the rest."""

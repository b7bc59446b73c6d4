"""Commands, the operations they belong to, and schedules."""

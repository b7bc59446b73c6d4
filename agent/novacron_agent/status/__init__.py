"""What an agent says of itself: written at every tick, read by `novacron-agent status`."""

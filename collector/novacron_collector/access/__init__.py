"""Who asks, and whether they may: passwords, sessions, tokens, lock-out, and what was denied."""

"""Rules, incidents, suppression, routing and notification."""

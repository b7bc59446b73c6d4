"""The web UI: a Dash application with a live path of its own."""

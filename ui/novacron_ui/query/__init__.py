"""What the pages show, as plain values: services over the stores that know nothing of Dash."""

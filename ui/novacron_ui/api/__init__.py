"""What our pages ask beside Dash: JSON, with the session's cookie."""

"""The users' REST API: a Flask application under /v1, made from its collaborators."""

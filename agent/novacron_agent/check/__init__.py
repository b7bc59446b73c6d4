"""`novacron-agent check`: tries what the agent will need, and says how to mend it."""

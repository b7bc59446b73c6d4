"""Commands to VMs: asked for by people and schedules, given to agents, followed to their end."""

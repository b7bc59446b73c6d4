"""What every part of NovaCron agrees on: metrics, settings, errors, plug-ins. Standard library."""

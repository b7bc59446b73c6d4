"""The live path: one subscription at the collector, shared by every browser. Dash has no part."""

"""novacron-store: chDB behind ClickHouse's HTTP interface."""

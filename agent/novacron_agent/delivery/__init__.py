"""From a sealed batch to its destinations: a spool on disk and a sender for each of them."""

"""How panels are asked: a page asks for several at once, so that CPU counts, and not time."""

# Of small reads threads and the asynchronous way to files are a third of the cost. In the text,
# because chDB takes 7 ms for settings that come beside it.
CHEAPLY = "SETTINGS max_threads = 1, local_filesystem_read_method = 'pread'"
